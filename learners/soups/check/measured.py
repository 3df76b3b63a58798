"""The mergeability report with what weights and data say: distances, cosines, linear barriers."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import polars as pl

from learners.soups.check.barrier import STEPS, linear_barriers
from learners.soups.check.facts import Facts
from learners.soups.check.geometry import Geometry, geometry
from learners.soups.check.mergeability import Mergeability, assess, selected
from learners.soups.check.problems import IMPOSSIBLE, is_kept
from learners.soups.files.mapped import is_finite, mapped
from learners.soups.files.stored import Stored
from schemas import DataError, Lake, UsageError
from zoo.datasets import load_dataset
from zoo.load import read_weights
from zoo.locate import locate
from zoo.population import Samples, stack

MOST_BARRIERS = 200
SAMPLES = 1000
VALUES, LEAVE = "values", "leave it out"

Pair = tuple[int, int]
Tensors = Mapping[str, Stored]


def mergeability(
    lake: Lake, sql: str, *, parent: str | None = None, keep: Sequence[str] = (), samples: int = SAMPLES
) -> Mergeability:
    """Say for each pair of models, and for all of them, whether a merge is safe, unwise or impossible, and why.

    Where weights are on this machine, distances and cosines are measured as well; where it is known how the models
    run and their validation data is at hand, the linear barrier of up to 200 pairs. What was measured becomes rows of
    `pair_measurement`, unless the lake was opened read-only.

    Args:
        lake: Where the models are.
        sql: Any query that returns `model_id` (and `epoch`).
        parent: model_id of the model that they come from: task vectors are differences from it; without it they are
            differences from the models' mean.
        keep: Patterns of tensor names that are not to be merged, so that they may differ.
        samples: Validation samples that barriers are measured on.

    Raises:
        UsageError: The query selects fewer than two models (with a parent one), or one twice, or the parent is unknown.
        DataError: A file of weights was changed while it was read.
    """
    report = assess(lake, selected(lake, sql, least=1 if parent else 2), parent=parent, keep=keep)
    columns: dict[Pair, dict[str, float]] = {}
    stored = [_merged(facts, keep) for facts in report.facts]
    broken: dict[str, str] = {}
    for group in _groups(report):
        shapes, finite = _geometry(stored, group, parent is not None)
        lost = {
            report.facts[index].model_id: _first_not_finite(stored[index]) for index in group if index not in finite
        }
        broken |= {model_id: name for model_id, name in lost.items() if name}
        columns |= _distances(shapes, finite)
    for pair, barrier in _barriers(lake, report, list(columns), samples).items():
        columns[pair]["barrier"] = barrier
    report = _completed(report, columns, broken)
    if not lake.read_only:
        _store(lake, report, parent, samples)
    return report


def _groups(report: Mergeability) -> list[list[int]]:
    """Models at hand that can be merged with each other, group by group."""
    possible = {
        pair
        for pair, verdict in zip(_pairs(len(report.facts)), report.pairs["verdict"], strict=True)
        if verdict != IMPOSSIBLE
    }
    left = [index for index, facts in enumerate(report.facts) if facts.stored]
    groups = []
    while left:
        group = [left[0], *(index for index in left[1:] if (left[0], index) in possible)]
        left = [index for index in left if index not in group]
        if len(group) > 1:
            groups.append(group)
    return groups


def _pairs(models: int) -> list[Pair]:
    return [(i, j) for i in range(models) for j in range(i + 1, models)]


def _merged(facts: Facts, keep: Sequence[str]) -> dict[str, Stored]:
    """The tensors that would be merged, where they are at hand."""
    return {name: tensor for name, tensor in (facts.stored or {}).items() if not is_kept(name, keep)}


def _geometry(everything: Sequence[Tensors], group: list[int], has_parent: bool) -> tuple[Geometry, list[int]]:
    """Inner products of those models of a group whose values are all finite, and which these are."""
    last = len(everything) - 1
    from_parent = has_parent and last in group
    stored = [everything[index] for index in group]
    measured = geometry(stored, stored[group.index(last)] if from_parent else stored[0])
    if group and not all(measured.finite(place) for place in range(len(group))):
        alone = next((index for index in group if _first_not_finite(everything[index])), group[0])
        return _geometry(everything, [index for index in group if index != alone], has_parent)
    return (measured if from_parent else _centred(measured)), group


def _first_not_finite(stored: Tensors) -> str:
    """Name of the first tensor that has values that are infinite or NaN; empty where none has."""
    return next((name for name, tensor in stored.items() if not is_finite(mapped(tensor))), "")


def _centred(measured: Geometry) -> Geometry:
    """Task vectors from the mean of all models instead of from the first."""
    gram = measured.task_vectors
    rows = gram.mean(dim=1, keepdim=True)
    return replace(measured, task_vectors=gram - rows - rows.T + gram.mean())


def _distances(shapes: Geometry, group: Sequence[int]) -> dict[Pair, dict[str, float]]:
    found = {}
    for a, b in _pairs(len(group)):
        found[group[a], group[b]] = {
            "distance": shapes.distance(a, b),
            "weight_cosine": shapes.weight_cosine(a, b),
            "task_cosine": shapes.task_cosine(a, b),
        }
    return found


def _barriers(lake: Lake, report: Mergeability, pairs: Sequence[Pair], samples: int) -> dict[Pair, float]:
    """Measure barriers of pairs of models that are known to run on the same data."""
    known = [pair for pair in pairs if _comparable(report.facts[pair[0]], report.facts[pair[1]])][:MOST_BARRIERS]
    found: dict[Pair, float] = {}
    while known:
        description = report.facts[known[0][0]].description
        here = [pair for pair in known if report.facts[pair[0]].description == description]
        known = [pair for pair in known if pair not in here]
        found |= _measured(lake, report.facts, here, samples)
    return found


def _comparable(first: Facts, second: Facts) -> bool:
    one, other = first.description, second.description
    if one is None or other is None or one.architecture == "pinn":
        return False
    return one.model_copy(update={"init": None}) == other.model_copy(update={"init": None})


def _measured(lake: Lake, facts: Sequence[Facts], pairs: Sequence[Pair], samples: int) -> dict[Pair, float]:
    description = facts[pairs[0][0]].description
    assert description is not None, "pairs were chosen by it"  # noqa: S101 - by _comparable
    try:
        validation = load_dataset(description.dataset, description.split_seed).validation
    except (UsageError, DataError):  # the data is not on this machine
        return {}
    models = sorted({index for pair in pairs for index in pair})
    places = locate(lake, [facts[i].model_id for i in models], [facts[i].epoch for i in models])
    population = stack([read_weights(lake, place) for place in places])
    position = {index: place for place, index in enumerate(models)}
    few = Samples(validation.x[:samples], validation.y[:samples])
    inside = [(position[i], position[j]) for i, j in pairs]
    return dict(zip(pairs, linear_barriers(description.skeleton(), population, inside, few), strict=True))


def _completed(
    report: Mergeability, columns: Mapping[Pair, Mapping[str, float]], broken: Mapping[str, str]
) -> Mergeability:
    pairs = _pairs(len(report.facts))
    names = ("distance", "weight_cosine", "task_cosine", "barrier")
    measured = {
        name: pl.Series(name, [_number(columns.get(pair, {}).get(name)) for pair in pairs], dtype=pl.Float64)
        for name in names
    }
    frame = report.pairs.with_columns(measured["distance"], measured["task_cosine"], measured["barrier"])
    frame = frame.with_columns(measured["weight_cosine"].fill_null(report.pairs["weight_cosine"]))
    if not broken:
        return replace(report, pairs=frame)
    reasons = {model_id: f"{model_id} has values that are not finite, in {name}" for model_id, name in broken.items()}
    of_pair = [
        next((reasons[model] for model in pair if model in reasons), None)
        for pair in zip(frame["first_id"], frame["second_id"], strict=True)
    ]
    reason = pl.Series("reason", of_pair, dtype=pl.String)
    frame = frame.with_columns(
        verdict=pl.when(reason.is_not_null()).then(pl.lit(IMPOSSIBLE)).otherwise(pl.col("verdict")),
        about=pl.when(reason.is_not_null()).then(pl.lit(VALUES)).otherwise(pl.col("about")),
        reason=reason.fill_null(frame["reason"]),
        help=pl.when(reason.is_not_null()).then(pl.lit(LEAVE)).otherwise(pl.col("help")),
    )
    first = [(IMPOSSIBLE, VALUES, len(reason.drop_nulls()), next(iter(reasons.values())), LEAVE)]
    summary = pl.concat([pl.DataFrame(first, schema=report.summary.schema, orient="row"), report.summary])
    return replace(
        report,
        verdict=IMPOSSIBLE,
        reasons=(*reasons.values(), *report.reasons),
        helps=(LEAVE, *report.helps),
        summary=summary,
        pairs=frame,
    )


def _number(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _store(lake: Lake, report: Mergeability, parent: str | None, samples: int) -> None:
    settings = {"parent": parent, "reference": parent or "mean", "steps": STEPS, "samples": samples}
    frame = report.pairs.unpivot(
        ["distance", "weight_cosine", "task_cosine", "barrier"],
        index=["first_id", "second_id"],
        variable_name="metric",
        value_name="value",
    ).drop_nulls("value")
    if not frame.is_empty():
        now = datetime.now(UTC)
        stored = frame.with_columns(settings=pl.lit(json.dumps(settings)), measured_at=pl.lit(now))
        with lake.write() as transaction:
            transaction.append("pair_measurement", stored)
