"""How two models are connected: along trained curves and the straight line, for many pairs of a group at once."""

from collections.abc import Sequence

import torch
from torch import Tensor

from learners.landscape.connectivity.bezier import bezier, train_bend
from learners.landscape.connectivity.line import line
from learners.landscape.connectivity.path import Profile, profile
from learners.landscape.measuring.group import Columns, Found, Group, found
from learners.landscape.measuring.metrics import Settings
from zoo.population import Weights

Pair = tuple[int, int]
VALUES_AT_ONCE = 4_000_000
"""Parameters of all curves that are trained together."""


def curves(group: Group, pairs: Sequence[Pair], settings: Settings) -> Columns:
    """Mode connectivity along trained Bezier curves in percentage points of training error, its place, and the profile.

    Each pair's curve is trained `runs` times, from other batches and places; values are means over the runs, with the
    standard error of that.
    """
    columns: Columns = {"mode_connectivity": [], "curve_peak": [], "curve_error": [], "curve_loss": []}
    for part in _parts(group, pairs):
        runs = [_trained(group, part, settings, run) for run in range(int(settings["runs"]))]
        count = group.dataset.train.y.numel()
        details = [_seeds(group, pair) for pair in part]
        measured = {
            "mode_connectivity": [run.connectivity for run in runs],
            "curve_peak": [run.peak for run in runs],
        }
        for name, each in measured.items():
            values, errors = _over_runs(each)
            both = zip(values, errors, details, strict=True)
            columns[name] += [[found(value, error, count, len(runs), **seeds)] for value, error, seeds in both]
        for name, each in (("curve_error", [r.error for r in runs]), ("curve_loss", [r.loss for r in runs])):
            columns[name] += _profiled(*_over_runs(each), runs[0].places, count, len(runs), details)
    return columns


def barriers(group: Group, pairs: Sequence[Pair], settings: Settings) -> Columns:
    """How far the training error rises above the straight line between two models', and the profile on the line."""
    columns: Columns = {"linear_barrier": [], "line_error": [], "line_loss": []}
    for part in _parts(group, pairs):
        first, second, buffers = _ends(group, part)
        along = profile(group.module, line(first, second), buffers, group.dataset.train, int(settings["points"]))
        count, details = group.dataset.train.y.numel(), [_seeds(group, pair) for pair in part]
        both = zip(along.barrier, details, strict=True)
        columns["linear_barrier"] += [[found(value, None, count, None, **seeds)] for value, seeds in both]
        for name, values in (("line_error", along.error), ("line_loss", along.loss)):
            unknown = torch.full_like(values, torch.nan)
            columns[name] += _profiled(values, unknown, along.places, count, None, details)
    return columns


def _trained(group: Group, pairs: Sequence[Pair], settings: Settings, run: int) -> Profile:
    first, second, buffers = _ends(group, pairs)
    bend = train_bend(
        group.module,
        first,
        second,
        buffers,
        group.dataset.train,
        epochs=int(settings["epochs"]),
        batch_size=int(settings["batch_size"]),
        learning_rate=float(settings["learning_rate"]),
        seed=group.seed + run * 1_000_003,
    )
    curve = bezier(first, bend, second)
    return profile(group.module, curve, buffers, group.dataset.train, int(settings["points"]))


def _over_runs(each: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    values = torch.stack(list(each))
    if len(each) < 2:
        return values[0], torch.full_like(values[0], torch.nan)
    return values.mean(dim=0), values.std(dim=0) / len(each) ** 0.5


def _profiled(
    values: Tensor,
    errors: Tensor,
    places: Tensor,
    samples: int,
    runs: int | None,
    details: Sequence[dict[str, object]],
) -> list[list[Found]]:
    """A row for each place of each pair's path."""
    return [
        [
            found(value, error, samples, runs, place=round(float(place), 6), **seeds)
            for value, error, place in zip(row, spread, places, strict=True)
        ]
        for row, spread, seeds in zip(values, errors, details, strict=True)
    ]


def _seeds(group: Group, pair: Pair) -> dict[str, object]:
    """The seeds of the models of a pair, where they were trained in the lake."""
    known = [group.seeds.get(group.names[number]) for number in pair]
    return {"seeds": known} if any(seed is not None for seed in known) else {}


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
