"""Gathers what a soup is cooked from, and refuses what cannot or should not be averaged."""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from learners.soups.check.mergeability import assess, refuse, selected
from schemas import Lake, UsageError
from zoo.describe import Description, describe_all


@dataclass(frozen=True)
class Ingredients:
    """The selected models: their rows, the description that they share, and why averaging them would be unwise."""

    rows: pl.DataFrame
    description: Description
    unwise: tuple[str, ...]


def gather(lake: Lake, sql: str, *, force: bool = False, aligned: bool = False) -> Ingredients:
    """Select models and check that they can be averaged, as every merge is checked, and judged together.

    Args:
        lake: Where the models are.
        sql: Any query that returns `model_id` (and `epoch`, if the final checkpoint is not meant).
        force: Go on although averaging is unwise; what is impossible stays refused.
        aligned: They will be aligned, so that they may have started apart.

    Raises:
        UsageError: Fewer than two models, or one twice; a verdict of `mergeability` against them; models that nobody
            here can run, or that were trained on different data. The message names two of the models.
    """
    rows = selected(lake, sql)
    unwise = refuse(assess(lake, rows, whole=True, aligned=aligned), force)
    ids: list[str] = rows["model_id"].to_list()
    descriptions = describe_all(lake, ids)
    _refuse_other_data(ids, descriptions)
    return Ingredients(rows, descriptions[0], unwise)


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
