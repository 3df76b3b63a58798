"""How two models are connected: along trained curves and the straight line, for many pairs of a group at once."""

from collections.abc import Callable, Sequence
from math import isfinite

from torch import Tensor

from learners.landscape.connectivity.bezier import bezier, train_bend
from learners.landscape.connectivity.line import line
from learners.landscape.connectivity.path import Profile, profile
from learners.landscape.connectivity.runs import Connectivity, Runs
from learners.landscape.measuring.differentiable import differentiable
from learners.landscape.measuring.group import Columns, Found, Group, found
from learners.landscape.measuring.metrics import Settings
from learners.landscape.measuring.trained_on import TrainedOn
from zoo.population import Samples, Weights

Pair = tuple[int, int]
VALUES_AT_ONCE = 4_000_000
"""Parameters of all curves that are trained together."""
HELD_AT_ONCE = 40_000_000
"""Losses and errors of samples along them."""
PROFILED = 21
"""Places of a profile, about."""


@differentiable
def curves(group: Group, pairs: Sequence[Pair], settings: Settings) -> Columns:
    """Mode connectivity along trained Bezier curves in percentage points of training error, its place, and the profile.

    Each pair's curve is trained `runs` times, from other batches and places. Values are those of the mean of these
    curves, with their standard errors over the runs.
    """

    def measured(part: Sequence[Pair], train: Samples) -> Columns:
        runs = Runs.of(_trained(group, part, train, settings, run) for run in range(int(settings["runs"])))
        count, number, draws = train.y.numel(), len(runs.errors), int(settings["draws"])
        details = [_seeds(group, pair) for pair in part]
        columns: Columns = {
            "mode_connectivity": _connected(runs.connectivity(draws, group.seed), count, number, details)
        }
        peaks = zip(*runs.peak(draws, group.seed), details, strict=True)
        columns["curve_peak"] = [[found(place, spread, count, number, **seeds)] for place, spread, seeds in peaks]
        for name, both in (("curve_error", runs.error), ("curve_loss", runs.loss)):
            columns[name] = _profiled(*both, runs.places, count, number, details)
        return columns

    return _in_parts(group, pairs, measured)


def barriers(group: Group, pairs: Sequence[Pair], settings: Settings) -> Columns:
    """How far the training error rises above the straight line between two models', and the profile on the line.

    Errors are over training samples: the barrier's by drawing them anew.
    """

    def measured(part: Sequence[Pair], train: Samples) -> Columns:
        first, second, buffers = _ends(group, part)
        along = profile(group.module, line(first, second), buffers, train, int(settings["points"]))
        count, details = train.y.numel(), [_seeds(group, pair) for pair in part]
        draws = int(settings["draws"])
        rows = zip(along.barrier, along.barrier_error(draws, group.seed), details, strict=True)
        columns: Columns = {
            "linear_barrier": [[found(value, error, count, draws, **seeds)] for value, error, seeds in rows]
        }
        for name, values, errors in (
            ("line_error", along.error, along.error_error),
            ("line_loss", along.loss, along.loss_error),
        ):
            columns[name] = _profiled(values, errors, along.places, count, None, details)
        return columns

    return _in_parts(group, pairs, measured)


def _trained(group: Group, pairs: Sequence[Pair], train: Samples, settings: Settings, run: int) -> Profile:
    first, second, buffers = _ends(group, pairs)
    bend = train_bend(
        group.module,
        first,
        second,
        buffers,
        train,
        epochs=int(settings["epochs"]),
        batch_size=int(settings["batch_size"]),
        learning_rate=float(settings["learning_rate"]),
        seed=group.seed + run * 1_000_003,
    )
    return profile(group.module, bezier(first, bend, second), buffers, train, int(settings["points"]))


def _connected(
    found_here: Connectivity, samples: int, runs: int, details: Sequence[dict[str, object]]
) -> list[list[Found]]:
    """A row for each pair, with what its value is made of where that is known."""
    rows = []
    for number, seeds in enumerate(details):
        parts = {name: float(getattr(found_here, name)[number]) for name in ("dip", "hump", "share")}
        told = parts if isfinite(parts["dip"]) else {}
        rows.append([found(found_here.value[number], found_here.error[number], samples, runs, **told, **seeds)])
    return rows


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


def _in_parts(group: Group, pairs: Sequence[Pair], measured: Callable[[Sequence[Pair], Samples], Columns]) -> Columns:
    """Measure pairs that share their training samples and labels together, and give them in the order asked for."""
    together: dict[tuple[TrainedOn, TrainedOn], list[Pair]] = {}
    for pair in pairs:
        together.setdefault(group.seen_by(*pair), []).append(pair)
    rows: dict[str, dict[Pair, list[Found]]] = {}
    for seen, alike in together.items():
        train, at_once = group.train_of(seen), _at_once(group, group.train_of(seen))
        for begin in range(0, len(alike), at_once):
            part = alike[begin : begin + at_once]
            for name, values in measured(part, train).items():
                rows.setdefault(name, {}).update(zip(part, values, strict=True))
    return {name: [of_pair[pair] for pair in pairs] for name, of_pair in rows.items()}


def _at_once(group: Group, train: Samples) -> int:
    """Pairs that go through together: by their parameters, and by what their profiles hold of each sample."""
    return max(1, min(VALUES_AT_ONCE // group.matrix.shape[1], HELD_AT_ONCE // (2 * PROFILED * len(train))))


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
