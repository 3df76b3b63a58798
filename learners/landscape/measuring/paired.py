"""Metrics of two models each, for all pairs of a group at once."""

from collections.abc import Sequence

import torch
from torch import Tensor

from learners.landscape.connectivity.bezier import bezier, train_bend
from learners.landscape.connectivity.line import line
from learners.landscape.connectivity.path import profile
from learners.landscape.measuring.group import Found, Group, found
from learners.landscape.measuring.metrics import CURVE
from learners.landscape.similarity.agreement import disagreement, jensen_shannon
from learners.landscape.similarity.cka import BATCH, FEWEST_SAMPLES, biased_cka, unbiased_cka
from learners.landscape.similarity.distance import cosine_distance, l2_distance
from zoo.population import Weights

Pair = tuple[int, int]
Columns = dict[str, list[Found]]
VALUES_AT_ONCE = 4_000_000
"""Parameters of all curves that are trained together."""


def similarity(group: Group, pairs: Sequence[Pair]) -> Columns:
    """CKA of logits by both estimators, disagreement and Jensen-Shannon divergence, on drawn training samples."""
    logits = group.logits
    pieces = [piece for piece in torch.split(logits, BATCH, dim=1) if piece.shape[1] >= FEWEST_SAMPLES]
    measured = {
        "cka": unbiased_cka(pieces),
        "biased_cka": biased_cka(pieces),
        "disagreement": disagreement(logits),
        "jensen_shannon": jensen_shannon(logits),
    }
    return {
        name: _picked(value, error, pairs, logits.shape[1], len(pieces) if "cka" in name else None)
        for name, (value, error) in measured.items()
    }


def distances(group: Group, pairs: Sequence[Pair]) -> Columns:
    """Euclidean and cosine distance of the parameters."""
    measured = {"l2_distance": l2_distance(group.matrix), "cosine_distance": cosine_distance(group.matrix)}
    return {name: _picked(value, None, pairs, None, None) for name, value in measured.items()}


def curves(group: Group, pairs: Sequence[Pair]) -> Columns:
    """Mode connectivity along trained Bezier curves, in percentage points of training error, and where it peaks."""
    columns: Columns = {"mode_connectivity": [], "curve_peak": []}
    for part in _parts(group, pairs):
        first, second, buffers = _ends(group, part)
        bend = train_bend(
            group.module,
            first,
            second,
            buffers,
            group.dataset.train,
            epochs=int(CURVE["epochs"]),
            batch_size=int(CURVE["batch_size"]),
            learning_rate=CURVE["learning_rate"],
            seed=group.seed,
        )
        along = profile(group.module, bezier(first, bend, second), buffers, group.dataset.train, int(CURVE["points"]))
        count = group.dataset.train.y.numel()
        columns["mode_connectivity"] += [found(value, None, count) for value in along.connectivity]
        columns["curve_peak"] += [found(value, None, count) for value in along.peak]
    return columns


def barriers(group: Group, pairs: Sequence[Pair]) -> Columns:
    """How far the training error rises above the straight line between two models', in percentage points."""
    values: list[Found] = []
    for part in _parts(group, pairs):
        first, second, buffers = _ends(group, part)
        along = profile(group.module, line(first, second), buffers, group.dataset.train, int(CURVE["points"]))
        values += [found(value, None, group.dataset.train.y.numel()) for value in along.barrier]
    return {"linear_barrier": values}


def _parts(group: Group, pairs: Sequence[Pair]) -> list[Sequence[Pair]]:
    at_once = max(1, VALUES_AT_ONCE // group.matrix.shape[1])
    return [pairs[begin : begin + at_once] for begin in range(0, len(pairs), at_once)]


def _ends(group: Group, pairs: Sequence[Pair]) -> tuple[Weights, Weights, Weights]:
    """Parameters of both ends of each pair, and the first one's buffers."""
    names = set(group.parameter_names)
    first, second = (group.members([pair[end] for pair in pairs]) for end in (0, 1))
    buffers = {name: tensor for name, tensor in first.items() if name not in names}
    return (
        {name: first[name] for name in group.parameter_names},
        {name: second[name] for name in group.parameter_names},
        buffers,
    )


def _picked(
    value: Tensor, error: Tensor | None, pairs: Sequence[Pair], samples: int | None, probes: int | None
) -> list[Found]:
    return [found(value[i, j], None if error is None else error[i, j], samples or 0, probes) for i, j in pairs]
