"""The mergeability report: for each pair of models and for all of them, safe, unwise or impossible, and why."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations

import polars as pl

from learners.soups.check.facts import Facts, gather_facts
from learners.soups.check.geometry import SAMPLED, geometry
from learners.soups.check.problems import (
    IMPOSSIBLE,
    NOTED,
    SEVERITY,
    START,
    UNWISE,
    Problem,
    common_start,
    has_batch_norm,
    is_kept,
    problems_between,
    problems_of,
)
from schemas import Lake, UsageError
from zoo.locate import selection

SAFE = "safe"
VERDICTS = {NOTED: SAFE, UNWISE: UNWISE, IMPOSSIBLE: IMPOSSIBLE}
SAME_START = 0.5
"""Cosine of two models' weights from which on they are taken to have started alike."""

PAIR_COLUMNS: dict[str, type[pl.DataType]] = {
    **dict.fromkeys(["first_id", "second_id", "verdict", "about", "reason", "help", "common_start"], pl.String),
    **dict.fromkeys(["distance", "weight_cosine", "task_cosine", "barrier"], pl.Float64),
}
SUMMARY_COLUMNS: dict[str, type[pl.DataType]] = {
    **dict.fromkeys(["severity", "about"], pl.String),
    "pairs": pl.Int64,
    **dict.fromkeys(["reason", "help"], pl.String),
}


@dataclass(frozen=True)
class Mergeability:
    """Whether models can be merged.

    Attributes:
        verdict: safe, unwise or impossible: that of the worst pair.
        reasons: Why it is not safe, each once, worst first.
        helps: What would help, each once.
        notes: What one should know of a merge that is safe.
        summary: A row for each kind of problem, worst first: severity (impossible, unwise, noted), what it is about,
            the number of pairs that have it, the reason of one of them, and what would help.
        models: A row a model: tensors, parameters, types, whether its weights are on this machine.
        pairs: A row a pair: verdict, about, reason, help, common_start (an ancestor, an `init:` name, or `weights`
            where their cosine says so), distance, weight_cosine, task_cosine, barrier (nats); NULL where not measured.
        facts: What was found of each model.
    """

    verdict: str
    reasons: tuple[str, ...]
    helps: tuple[str, ...]
    notes: tuple[str, ...]
    summary: pl.DataFrame
    models: pl.DataFrame
    pairs: pl.DataFrame
    facts: tuple[Facts, ...] = field(repr=False)


def assess(
    lake: Lake,
    rows: pl.DataFrame,
    *,
    parent: str | None = None,
    keep: Sequence[str] = (),
    look: bool = True,
    aligned: bool = False,
) -> Mergeability:
    """Compare models by what is known without reading weights.

    Where lineage knows of no common start, some weights are read to see whether there was one, unless `look` is off
    or a merge is impossible anyway.

    Args:
        lake: Where the models are.
        rows: Those of `selected`.
        parent: model_id of the model that they are said to come from; it is compared with them as well.
        keep: Patterns of tensor names that are not merged, so that they may differ.
        look: Whether weights may be read.
        aligned: The models will be aligned before they are merged, so that they need no start in common.

    Raises:
        UsageError: A model or the parent is unknown, or a pattern of `keep` matches no tensor.
    """
    ids: list[str] = rows["model_id"].to_list()
    epochs: list[int | None] = rows["epoch"].to_list() if "epoch" in rows.columns else [None] * len(ids)
    if parent is not None:
        ids, epochs = [*ids, parent], [*epochs, None]
    facts = gather_facts(lake, ids, epochs)
    _check_keep(facts, keep)
    own = [list(problems_of(each)) for each in facts]
    between = _between(facts, keep)
    if aligned:
        between = {pair: [problem for problem in found if problem.kind != START] for pair, found in between.items()}
    apart = [pair for pair, found in between.items() if _needs_weights(found, own, pair)]
    alike: dict[tuple[int, int], float] = {}
    if look and apart:
        alike = _alike(facts, apart, keep)
        between |= {pair: _started_alike(between[pair], cosine) for pair, cosine in alike.items()}
    return _report(facts, own, between, alike)


def _check_keep(facts: Sequence[Facts], keep: Sequence[str]) -> None:
    names = list(dict.fromkeys(name for each in facts for name in each.tensors))
    for pattern in keep if names else ():
        if not any(is_kept(name, [pattern]) for name in names):
            raise UsageError(
                f"keep = {pattern!r} matches no tensor of these models; they have, e.g., {', '.join(names[-3:])}"
            )


def refuse(report: Mergeability, force: bool) -> tuple[str, ...]:
    """Raise UsageError for a merge that is impossible, or unwise and not forced; gives what is unwise.

    The message says the reason that most pairs have, and what would help against that.
    """
    if report.verdict == IMPOSSIBLE or (report.verdict == UNWISE and not force):
        worst = report.summary.row(0, named=True)
        said = worst["reason"] + (f"; {worst['help']}" if worst["help"] else "")
        if report.verdict == IMPOSSIBLE:
            raise UsageError(f"these cannot be merged: {said}")
        raise UsageError(f"a merge is possible but unwise: {said}; force=True (--force) merges all the same")
    return report.reasons


def selected(lake: Lake, sql: str, least: int = 2) -> pl.DataFrame:
    """Run a selection; raise UsageError for fewer than so many models (or checkpoints), or the same one twice."""
    rows = selection(lake, sql, {})
    if rows.height < least:
        raise UsageError(
            f"a merge needs at least {least} models, and the query selects {rows.height}; widen its condition"
        )
    twice = rows.select("model_id", *({"epoch"} & set(rows.columns))).is_duplicated()
    if twice.any():
        raise UsageError(f"{rows.filter(twice)['model_id'][0]} is selected twice; add DISTINCT to the query")
    return rows


def _between(facts: Sequence[Facts], keep: Sequence[str]) -> dict[tuple[int, int], list[Problem]]:
    pairs = combinations(range(len(facts)), 2)
    return {(i, j): problems_between(facts[i], facts[j], keep) for i, j in pairs}


def _needs_weights(found: Sequence[Problem], own: Sequence[Sequence[Problem]], pair: tuple[int, int]) -> bool:
    possible = not any(problem.severity == IMPOSSIBLE for problem in (*found, *own[pair[0]], *own[pair[1]]))
    return possible and any(problem.kind == START for problem in found)


def _alike(
    facts: Sequence[Facts], pairs: Sequence[tuple[int, int]], keep: Sequence[str]
) -> dict[tuple[int, int], float]:
    """Cosines of the weights of pairs that are both at hand, from a sample of their largest tensors."""
    models = sorted({index for pair in pairs for index in pair if facts[index].stored})
    cosines: dict[tuple[int, int], float] = {}
    for group in _groups(facts, models, keep):
        stored = [facts[index].stored or {} for index in group]
        shapes = geometry(stored, stored[0], SAMPLED)
        position = {index: place for place, index in enumerate(group)}
        for i, j in pairs:
            if i in position and j in position:
                cosines[i, j] = shapes.weight_cosine(position[i], position[j])
    return cosines


def _groups(facts: Sequence[Facts], models: Sequence[int], keep: Sequence[str]) -> list[list[int]]:
    """Models of the same names and shapes, but for those that are kept."""
    groups: dict[tuple[tuple[str, tuple[int, ...]], ...], list[int]] = {}
    for index in models:
        merged = {name: tensor for name, tensor in facts[index].tensors.items() if not is_kept(name, keep)}
        key = tuple(sorted((name, tensor.shape) for name, tensor in merged.items()))
        groups.setdefault(key, []).append(index)
    return [group for group in groups.values() if len(group) > 1]


def _started_alike(found: Sequence[Problem], cosine: float) -> list[Problem]:
    if not cosine >= SAME_START:
        return [
            replace(problem, reason=f"{problem.reason} (the cosine of their weights is {cosine:.2f})")
            if problem.kind == START
            else problem
            for problem in found
        ]
    note = Problem(
        NOTED,
        f"no lineage says so, but the cosine of their weights, {cosine:.2f}, says that they started alike",
        kind=START,
    )
    return [*(problem for problem in found if problem.kind != START), note]


def _report(
    facts: Sequence[Facts],
    own: Sequence[Sequence[Problem]],
    between: Mapping[tuple[int, int], Sequence[Problem]],
    alike: Mapping[tuple[int, int], float],
) -> Mergeability:
    rows = []
    for (i, j), found in between.items():
        worst = max((*own[i], *own[j], *found), key=lambda problem: SEVERITY.index(problem.severity), default=None)
        inferred = "weights" if alike.get((i, j), 0) >= SAME_START else None
        rows.append(
            {
                "first_id": facts[i].model_id,
                "second_id": facts[j].model_id,
                "verdict": VERDICTS[worst.severity] if worst else SAFE,
                "about": worst.kind if worst else None,
                "reason": worst.reason if worst else None,
                "help": worst.help or None if worst else None,
                "common_start": common_start(facts[i], facts[j]) or inferred,
                "weight_cosine": alike.get((i, j)),
            }
        )
    problems = [problem for found in (*own, *between.values()) for problem in found]
    problems.sort(key=lambda problem: -SEVERITY.index(problem.severity))
    against = [problem for problem in problems if problem.severity != NOTED]
    return Mergeability(
        verdict=VERDICTS[against[0].severity] if against else SAFE,
        reasons=tuple(dict.fromkeys(problem.reason for problem in against)),
        helps=tuple(dict.fromkeys(problem.help for problem in against if problem.help)),
        notes=tuple(dict.fromkeys(problem.reason for problem in problems if problem.severity == NOTED)),
        summary=_summary(own, between),
        models=pl.DataFrame([_described(each) for each in facts]),
        pairs=pl.DataFrame(rows, schema=PAIR_COLUMNS),
        facts=tuple(facts),
    )


def _summary(own: Sequence[Sequence[Problem]], between: Mapping[tuple[int, int], Sequence[Problem]]) -> pl.DataFrame:
    """Problems of one severity and kind in a row, with the first of them."""
    first: dict[tuple[str, str], Problem] = {}
    pairs: dict[tuple[str, str], int] = {}
    for (i, j), found in between.items():
        alike = {(problem.severity, problem.kind): problem for problem in reversed((*own[i], *own[j], *found))}
        for key, problem in alike.items():
            first.setdefault(key, problem)
            pairs[key] = pairs.get(key, 0) + 1
    worst_first = sorted(first, key=lambda key: (-SEVERITY.index(key[0]), -pairs[key], key[1]))
    rows = [(*key, pairs[key], first[key].reason, first[key].help or None) for key in worst_first]
    return pl.DataFrame(rows, schema=SUMMARY_COLUMNS, orient="row")


def _described(facts: Facts) -> dict[str, object]:
    parameters = sum(_values(tensor.shape) for tensor in facts.tensors.values())
    return {
        "model_id": facts.model_id,
        "epoch": facts.epoch,
        "tensors": len(facts.tensors),
        "parameters": parameters,
        "dtypes": ", ".join(sorted({tensor.dtype for tensor in facts.tensors.values()})),
        "batch_norm": has_batch_norm(facts.tensors),
        "at_hand": facts.stored is not None,
        "license": facts.license,
    }


def _values(shape: Sequence[int]) -> int:
    count = 1
    for axis in shape:
        count *= axis
    return count
