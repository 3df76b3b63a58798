"""Gathers what a soup is cooked from, and refuses what cannot or should not be averaged."""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from learners.soups.check.connected import without_alignment
from learners.soups.check.facts import Facts
from learners.soups.check.mergeability import assess, refuse, selected
from learners.soups.check.problem import IMPOSSIBLE
from learners.soups.check.starts import with_starts
from schemas import Lake, UsageError
from zoo.describe import Description, describe_all


@dataclass(frozen=True)
class Ingredients:
    """The selected models: their rows, how each is run, and why averaging them would be unwise."""

    rows: pl.DataFrame
    descriptions: tuple[Description, ...]
    unwise: tuple[str, ...]

    @property
    def description(self) -> Description:
        """How the first one is run, and in all that matters the others."""
        return self.descriptions[0]


def gather(
    lake: Lake, sql: str, *, force: bool = False, aligned: bool = False, given: Sequence[Description] = ()
) -> Ingredients:
    """Select models and check that they can be averaged, as every merge is checked, and judged together.

    Args:
        lake: Where the models are.
        sql: Any query that returns `model_id` (and `epoch`, if the final checkpoint is not meant).
        force: Go on although averaging is unwise; what is impossible stays refused.
        aligned: They will be aligned, so that they may have started apart.
        given: How models are built of which the lake does not know it.

    Raises:
        UsageError: Fewer than two models, or one twice; a verdict of `mergeability` against them; models that nobody
            here can run, or that were trained on different data. The message names two of the models.
    """
    rows = selected(lake, sql)
    report = assess(lake, rows, aligned=aligned, read=False, given=given)
    if report.verdict == IMPOSSIBLE:
        refuse(report, force)
    ids: list[str] = rows["model_id"].to_list()
    descriptions = [_described(lake, facts) for facts in report.facts]
    _refuse_other_data(ids, descriptions)
    unwise = refuse(without_alignment(with_starts(report, ())), force)
    return Ingredients(rows, tuple(descriptions), unwise)


def _described(lake: Lake, facts: Facts) -> Description:
    """How a model is run; raises UsageError where neither the lake nor the caller knows it."""
    if facts.description is not None:
        return facts.description
    try:
        return describe_all(lake, [facts.model_id])[0]
    except UsageError as error:
        raise UsageError(f"{error}; or say it with description (--description)") from error


def _refuse_other_data(ids: Sequence[str], descriptions: Sequence[Description]) -> None:
    """A soup is judged on validation and test data that none of its ingredients was trained on."""
    first = descriptions[0]
    if first.architecture == "pinn":
        raise UsageError("soups are judged by accuracy, which a pinn does not have; select classifiers")
    for other, description in zip(ids, descriptions, strict=True):
        for field in ("dataset", "split_seed"):
            mine, theirs = getattr(first, field), getattr(description, field)
            if mine != theirs:
                what = field.replace("_", " ")
                raise UsageError(
                    f"a soup is judged on the data of its ingredients: {ids[0]} has {what} {mine}, {other} has {what}"
                    f" {theirs}; select one {what}"
                )
