"""The mergeability report: for each pair of models and for all of them, safe, unwise or impossible, and why."""

import re
from collections.abc import Sequence
from itertools import combinations

import polars as pl

from learners.soups.check.facts import Facts, gather_facts
from learners.soups.check.kept import is_kept
from learners.soups.check.problem import IMPOSSIBLE, STARTS, UNWISE, Problem
from learners.soups.check.problems import problems_between, problems_of
from learners.soups.check.starts import with_starts
from learners.soups.check.values import first_not_finite, not_finite
from learners.soups.check.verdicts import Mergeability, Pair, Problems, verdict_on
from schemas import Lake, UsageError
from zoo.describe import Description
from zoo.locate import selection

QUOTE = "'"
Selection = str | Sequence[str]
"""A query that returns `model_id` (and `epoch`), or names of models, each `model_id` or `model_id@epoch`."""
CHECKPOINT = re.compile(r"(.+)@(\d{1,9})")


def assess(
    lake: Lake,
    rows: pl.DataFrame,
    *,
    parent: str | None = None,
    keep: Sequence[str] = (),
    whole: bool = False,
    aligned: bool = False,
    read: bool = True,
    given: Sequence[Description] = (),
) -> Mergeability:
    """Compare models by what is known without reading weights.

    Where lineage knows of no common start, some weights are read to see whether there was one, unless a merge is
    impossible anyway, or nothing is to be read.

    Args:
        lake: Where the models are.
        rows: Those of `selected`.
        parent: model_id of the model that they are said to come from (`model_id@epoch` for a checkpoint of it); it is
            compared with them as well.
        keep: Patterns of tensor names that are not merged, so that they may differ.
        whole: All of them are to become one model, so that no weight is read where one pair is impossible.
        aligned: The models will be aligned before they are merged, so that they need no start in common.
        read: Whether weights may be read at all.
        given: How models are built of which the lake does not know it.

    Raises:
        UsageError: A model or the parent is unknown, or a pattern of `keep` matches no tensor.
    """
    ids: list[str] = rows["model_id"].to_list()
    epochs: list[int | None] = rows["epoch"].to_list() if "epoch" in rows.columns else [None] * len(ids)
    if parent is not None:
        elder, age = named_model(lake, parent)
        ids, epochs = [*ids, elder], [*epochs, age]
    facts = gather_facts(lake, ids, epochs, given)
    _check_keep(facts, keep)
    own = [list(problems_of(each)) for each in facts]
    between = _between(facts, keep)
    if aligned:
        between = {pair: [each for each in found if each.kind not in STARTS] for pair, found in between.items()}
    report = verdict_on(facts, Problems(own, between))
    whole_is_impossible = whole and report.verdict == IMPOSSIBLE
    return with_starts(report, keep) if read and not whole_is_impossible else report


def named_model(lake: Lake, name: str) -> tuple[str, int | None]:
    """The model and the epoch of `model_id@epoch`; a model may have such a name itself."""
    found = CHECKPOINT.fullmatch(name)
    if found is None or not lake.sql("SELECT 1 FROM model WHERE model_id = $id", id=name).is_empty():
        return name, None
    return found[1], int(found[2])


def query_of(lake: Lake, models: Selection) -> str:
    """A selection as a query, if it is none: of named models, which come in the order that they are named in."""
    if isinstance(models, str):
        return models
    named = [named_model(lake, name) for name in models]
    if not named:
        raise UsageError("no model is named; expected names, or a query that returns model_id")
    values = ", ".join(
        f"('{model_id.replace(QUOTE, 2 * QUOTE)}', {'NULL' if epoch is None else epoch}, {place})"
        for place, (model_id, epoch) in enumerate(named)
    )
    return f"SELECT model_id, epoch FROM (VALUES {values}) AS named (model_id, epoch, place) ORDER BY place"  # noqa: S608 - quoted


def _check_keep(facts: Sequence[Facts], keep: Sequence[str]) -> None:
    names = list(dict.fromkeys(name for each in facts for name in each.tensors))
    for pattern in keep if names else ():
        if not any(is_kept(name, [pattern]) for name in names):
            raise UsageError(
                f"keep = {pattern!r} matches no tensor of these models; they have, e.g., {', '.join(names[-3:])}"
            )


def refuse(report: Mergeability, force: bool, keep: Sequence[str] = ()) -> tuple[str, ...]:
    """Raise UsageError for a merge that is impossible, or unwise and not forced; gives what is unwise.

    The message says a reason of each kind, gravest first, and what would help. Before it says that a merge can be
    forced, it looks for values for which that is not so.
    """
    if report.verdict == UNWISE and not force:
        report = _with_values(report, keep)
    if report.verdict == IMPOSSIBLE or (report.verdict == UNWISE and not force):
        worst = report.summary.filter(severity=report.verdict)
        said = "; besides, ".join("; ".join(filter(None, each)) for each in worst.select("reason", "help").rows())
        if report.verdict == IMPOSSIBLE:
            raise UsageError(f"these cannot be merged: {said}")
        raise UsageError(f"a merge is possible but unwise: {said}; force=True (--force) merges all the same")
    return report.reasons


def _with_values(report: Mergeability, keep: Sequence[str]) -> Mergeability:
    """Add that a model has values that are not finite, if one has."""
    for index, facts in enumerate(report.facts):
        merged = {name: tensor for name, tensor in (facts.stored or {}).items() if not is_kept(name, keep)}
        name = first_not_finite(merged)
        if name:
            return verdict_on(report.facts, report.problems.more({index: not_finite(facts.name, name)}, {}))
    return report


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


def _between(facts: Sequence[Facts], keep: Sequence[str]) -> dict[Pair, list[Problem]]:
    pairs = combinations(range(len(facts)), 2)
    return {(i, j): problems_between(facts[i], facts[j], keep) for i, j in pairs}
