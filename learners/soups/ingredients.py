"""Gathers what a soup is cooked from, and refuses what cannot or should not be averaged, before reading weights."""

from dataclasses import dataclass

import polars as pl

from schemas import Lake, UsageError
from zoo.describe import Description, describe_all
from zoo.locate import selection

COMPARED = ("architecture", "width", "classes", "input_shape", "dataset", "split_seed")


@dataclass(frozen=True)
class Ingredients:
    """The selected models: their rows, the description that they share, and why averaging them would be unwise."""

    rows: pl.DataFrame
    description: Description
    unwise: tuple[str, ...]


def gather(lake: Lake, sql: str, force: bool = False) -> Ingredients:
    """Select models and check that they can be averaged.

    Args:
        lake: Where the models are.
        sql: Any query that returns `model_id` (and `epoch`, if the final checkpoint is not meant).
        force: Go on although averaging is unwise; what is impossible stays refused.

    Raises:
        UsageError: fewer than two models, the same one twice, architectures, shapes or datasets that differ, or,
            without `force`, models without a common start or that diverged. The message names two of the models.
    """
    rows = selection(lake, sql, {})
    if rows.height < 2:
        raise UsageError("a soup needs at least two models, and the query selects one; widen its condition")
    if rows.select("model_id", *({"epoch"} & set(rows.columns))).is_duplicated().any():
        twice = rows.filter(rows.select("model_id").is_duplicated())["model_id"][0]
        raise UsageError(f"{twice} is selected twice; add DISTINCT to the query")
    ids: list[str] = rows["model_id"].to_list()
    descriptions = describe_all(lake, ids)
    _refuse_impossible(ids, descriptions)
    unwise = (*_different_starts(ids, descriptions), *_diverged(lake, sql))
    if unwise and not force:
        raise UsageError(f"averaging is possible but unwise: {unwise[0]}; force=True (--force) averages all the same")
    return Ingredients(rows, descriptions[0], unwise)


def _refuse_impossible(ids: list[str], descriptions: list[Description]) -> None:
    for other, description in zip(ids[1:], descriptions[1:], strict=True):
        for field in COMPARED:
            mine, theirs = getattr(descriptions[0], field), getattr(description, field)
            if mine != theirs:
                what = field.replace("_", " ")
                raise UsageError(
                    f"these cannot be averaged: {ids[0]} has {what} {mine}, {other} has {what} {theirs};"
                    f" select one {what}"
                )


def _different_starts(ids: list[str], descriptions: list[Description]) -> list[str]:
    first = descriptions[0].init
    for other, description in zip(ids[1:], descriptions[1:], strict=True):
        if first is None or description.init != first:
            return [
                f"{ids[0]} and {other} do not share an initialisation, and averages of networks that were"
                " initialised apart collapse (train members with one init_seed, or fine-tunes of one model)"
            ]
    return []


def _diverged(lake: Lake, sql: str) -> list[str]:
    query = f"SELECT model_id, diverged_epoch FROM member SEMI JOIN ({sql}) USING (model_id) WHERE state = 'diverged'"  # noqa: S608 - the caller's own query
    return [f"{model_id} diverged in epoch {epoch}" for model_id, epoch in lake.sql(query).rows()]
