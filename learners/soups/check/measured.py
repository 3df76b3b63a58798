"""The mergeability report with what weights and data say: distances, cosines, linear barriers."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from itertools import combinations
from typing import Any

import polars as pl

from learners.soups.check.barrier import STEPS
from learners.soups.check.connected import SAMPLES, Kept, barriers_between, merged_pairs, told_by_barriers
from learners.soups.check.contents import differing_contents
from learners.soups.check.described import Given, given_descriptions
from learners.soups.check.facts import Facts
from learners.soups.check.geometry import Geometry, geometry
from learners.soups.check.kept import is_kept
from learners.soups.check.mergeability import Selection, assess, query_of, selected
from learners.soups.check.problem import IMPOSSIBLE, Problem
from learners.soups.check.values import first_not_finite, not_finite
from learners.soups.check.verdicts import Mergeability, Pair, verdict_on
from learners.soups.files.stored import Stored
from schemas import Lake

MOST_BARRIERS = 200

METRICS = ("distance", "weight_cosine", "task_cosine", "barrier")
MEASURED_BEFORE = """
DELETE FROM pair_measurement AS known USING found
WHERE known.first_id = found.first_id AND known.second_id = found.second_id AND known.metric = found.metric
    AND known.settings = found.settings
"""

Tensors = Mapping[str, Stored]
Settings = dict[str, Any]
"""What a figure hangs on beside the two models."""


def mergeability(
    lake: Lake,
    sql: Selection,
    *,
    parent: str | None = None,
    keep: Sequence[str] = (),
    samples: int = SAMPLES,
    measure: bool = True,
    description: Given = (),
) -> Mergeability:
    """Say for each pair of models, and for all of them, whether a merge is safe, unwise or impossible, and why.

    Names, shapes, types, configurations, labels and descent come from lineage and headers. Of pairs that these show to
    be impossible no weight is read; the possible ones are measured, also where others of the selection make a merge of
    all impossible. Where weights are on this machine, that is distances and cosines; where it is known how the models
    run and their validation data is at hand, the linear barrier of up to 200 pairs, too; one that is above 0.1 nats by
    more than two of its standard errors makes a merge unwise. What was measured becomes rows of `pair_measurement`,
    unless the lake was opened read-only.

    Args:
        lake: Where the models are.
        sql: Any query that returns `model_id` (and `epoch`), or names of models, each `model_id` or `model_id@epoch`.
        parent: model_id of the model that they come from (`model_id@epoch` for a checkpoint of it): task vectors are
            differences from it, and `task_cosine` is theirs; without it they are differences from the mean of the
            models that can be merged with each other, so that of two alone the cosine is always -1.
        keep: Patterns of tensor names that are not to be merged, so that they may differ.
        samples: Validation samples that barriers are measured on.
        measure: Whether weights and data are read; without it all is said by lineage and headers.
        description: How models are built of which the lake does not know it, mined ones say; of several that one is
            meant whose tensors have the names and shapes of the model's.

    Raises:
        UsageError: The query selects fewer than two models (with a parent one), or one twice, or the parent is unknown.
        DataError: A file of weights was changed while it was read.
    """
    rows = selected(lake, query_of(lake, sql), least=1 if parent else 2)
    given = given_descriptions(description)
    report = assess(lake, rows, parent=parent, keep=keep, read=measure, given=given)
    if not measure:
        return report
    return _measured(lake, report, parent, keep, samples)


def _measured(lake: Lake, report: Mergeability, parent: str | None, keep: Sequence[str], samples: int) -> Mergeability:
    """The report with what the weights and the data of possible pairs say, which are written down as well."""
    columns: dict[Pair, dict[str, float]] = {}
    references: dict[Pair, Settings] = {}
    stored = [_merged(facts, keep) for facts in report.facts]
    broken: dict[int, Problem] = {}
    for group in _groups(report):
        shapes, finite = _geometry(stored, group, parent is not None)
        lost = {index: first_not_finite(stored[index]) for index in group if index not in finite}
        broken |= {index: not_finite(report.facts[index].name, name) for index, name in lost.items() if name}
        columns |= _distances(shapes, finite)
        references |= dict.fromkeys(combinations(finite, 2), _reference(report.facts, finite, parent is not None))
    models = len(report.facts) - bool(parent)
    base = models if parent else 0
    barriers = barriers_between(lake, report.facts, list(columns)[:MOST_BARRIERS], samples, Kept(base, keep))
    for pair, barrier in barriers.items():
        columns[pair]["barrier"] = barrier.height
    against = {pair: barriers[pair] for pair in merged_pairs(barriers, models)}
    problems = told_by_barriers(report.facts, report.problems, against).more(broken, {})
    problems = problems.more({}, differing_contents(report.facts, list(columns), keep))
    report = verdict_on(report.facts, problems)
    report = _completed(report, columns)
    if not lake.read_only:
        _store(lake, report, _settings_of(keep, report.facts[base].name, samples), references)
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
        alone = next((index for index in group if first_not_finite(everything[index])), group[0])
        return _geometry(everything, [index for index in group if index != alone], has_parent)
    return (measured if from_parent else _centred(measured)), group


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


def _completed(report: Mergeability, columns: Mapping[Pair, Mapping[str, float]]) -> Mergeability:
    pairs = _pairs(len(report.facts))
    measured = {
        name: pl.Series(name, [_number(columns.get(pair, {}).get(name)) for pair in pairs], dtype=pl.Float64)
        for name in METRICS
    }
    frame = report.pairs.with_columns(measured["distance"], measured["task_cosine"], measured["barrier"])
    frame = frame.with_columns(measured["weight_cosine"].fill_null(report.pairs["weight_cosine"]))
    return replace(report, pairs=frame)


def _number(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _settings_of(keep: Sequence[str], base: str, samples: int) -> dict[str, Settings]:
    """What each metric hangs on for all pairs: where tensors are kept, barriers are those with the base's in both."""
    kept: Settings = {"keep": list(keep)} if keep else {}
    measured: Settings = {"steps": STEPS, "samples": samples} | ({"base": base} if keep else {})
    return {**dict.fromkeys(METRICS, kept), "barrier": kept | measured}


def _reference(facts: Sequence[Facts], group: Sequence[int], has_parent: bool) -> Settings:
    """What the task vectors of a group are differences from: the parent, if it is one of it, or the mean of all."""
    if has_parent and len(facts) - 1 in group:
        return {"reference": facts[-1].name}
    names = sorted(facts[index].name for index in group)
    return {"reference": "mean", "models": len(names), "of": sha256(json.dumps(names).encode()).hexdigest()[:16]}


def _store(lake: Lake, report: Mergeability, same: Mapping[str, Settings], references: Mapping[Pair, Settings]) -> None:
    """Write what was measured in place of what was found of the same models under the same settings before.

    Args:
        lake: Where it goes.
        report: The figures.
        same: Settings of each metric that all pairs have.
        references: What the task vectors of a pair are differences from.
    """
    now = datetime.now(UTC)
    rows = [
        {
            "first_id": row["first_id"],
            "second_id": row["second_id"],
            "metric": metric,
            "value": row[metric],
            "settings": json.dumps(_epochs(row) | same[metric] | (references[pair] if metric == "task_cosine" else {})),
            "measured_at": now,
        }
        for pair, row in zip(_pairs(len(report.facts)), report.pairs.iter_rows(named=True), strict=True)
        for metric in METRICS
        if row[metric] is not None
    ]
    if rows:
        with lake.write() as transaction:
            transaction.register("found", pl.DataFrame(rows))
            transaction.sql(MEASURED_BEFORE)
            transaction.append("pair_measurement", pl.DataFrame(rows))


def _epochs(row: Mapping[str, Any]) -> Settings:
    """Which checkpoints the two models are, where they are not the final weights."""
    return {name: row[name] for name in ("first_epoch", "second_epoch") if row[name] is not None}
