"""How alike two models are in what they say and compute, for all pairs of a group at once."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from learners.landscape.measuring.group import Columns, Found, Group, found
from learners.landscape.measuring.metrics import Settings
from learners.landscape.similarity.agreement import disagreement, jensen_shannon
from learners.landscape.similarity.cka import (
    FEWEST_SAMPLES,
    biased_hsic,
    cka_of_batches,
    gram_matrices,
    unbiased_hsic,
)
from learners.landscape.similarity.features import layer_outputs

Pair = tuple[int, int]
ESTIMATORS: dict[str, Callable[[Tensor], Tensor]] = {"cka": unbiased_hsic, "biased_cka": biased_hsic}


def similarity(group: Group, pairs: Sequence[Pair], settings: Settings) -> Columns:
    """CKA of logits by both estimators, on drawn training samples."""
    pieces = _pieces(group.outputs(group.drawn(int(settings["samples"])).x), settings)
    grams = [gram_matrices(piece) for piece in pieces]
    count = sum(piece.shape[1] for piece in pieces)
    return {
        name: _picked(*cka_of_batches(torch.stack([hsic(gram) for gram in grams])), pairs, count, len(grams))
        for name, hsic in ESTIMATORS.items()
    }


def agreement(group: Group, pairs: Sequence[Pair], settings: Settings) -> Columns:
    """Disagreement of predictions and Jensen-Shannon divergence of probabilities, on drawn training samples."""
    logits = group.outputs(group.drawn(int(settings["samples"])).x)
    measured = {"disagreement": disagreement(logits), "jensen_shannon": jensen_shannon(logits)}
    return {name: _picked(*both, pairs, logits.shape[1], None) for name, both in measured.items()}


def layer_similarity(group: Group, pairs: Sequence[Pair], settings: Settings) -> Columns:
    """CKA of what each layer puts out, by both estimators; samples are rows, whatever shape a layer's outputs have."""
    pieces = _pieces(group.drawn(int(settings["samples"])).x.unsqueeze(0), settings)
    sums: dict[tuple[str, str], list[Tensor]] = {}
    for piece in pieces:
        for layer, gram in _layer_grams(group, piece[0]).items():
            for name, hsic in ESTIMATORS.items():
                sums.setdefault((name, layer), []).append(hsic(gram))
    count = sum(piece.shape[1] for piece in pieces)
    columns: Columns = {f"layer_{name}": [[] for _ in pairs] for name in ESTIMATORS}
    for (name, layer), each in sums.items():
        values = _picked(*cka_of_batches(torch.stack(each)), pairs, count, len(each), layer=layer)
        for row, more in zip(columns[f"layer_{name}"], values, strict=True):
            row.extend(more)
    return columns


def _layer_grams(group: Group, x: Tensor) -> dict[str, Tensor]:
    """Gram matrices of each layer, `[N, n, n]`; so many models at once that their features do not become too many."""
    one = layer_outputs(group.module, group.members([0]), x)
    largest = max((output.numel() for output in one.values()), default=1)
    grams: dict[str, list[Tensor]] = {}
    for part in group.parts(largest * 2):
        for layer, output in layer_outputs(group.module, part.weights, x).items():
            grams.setdefault(layer, []).append(gram_matrices(output))
    return {layer: torch.cat(parts) for layer, parts in grams.items()}


def _pieces(values: Tensor, settings: Settings) -> list[Tensor]:
    """Minibatches along the second axis; too small a rest is left out."""
    pieces = torch.split(values, int(settings["batch"]), dim=1)
    return [piece for piece in pieces if piece.shape[1] >= FEWEST_SAMPLES] or list(pieces)


def _picked(
    value: Tensor, error: Tensor, pairs: Sequence[Pair], samples: int, probes: int | None, **detail: object
) -> list[list[Found]]:
    return [[found(value[i, j], error[i, j], samples, probes, **detail)] for i, j in pairs]
