"""Averaging models into one."""

from enum import StrEnum
from typing import Annotated

import typer

from commands.arguments import DEFAULT_LAKE, AsJson, LakeFolder, Selection
from commands.terminal import say, show
from schemas import open_lake


class SoupMethod(StrEnum):
    """How a soup's ingredients are chosen."""

    GREEDY = "greedy"
    UNIFORM = "uniform"


def soup(
    selection: Selection,
    lake: LakeFolder = DEFAULT_LAKE,
    method: Annotated[SoupMethod, typer.Option(help="Average all, or only those that help.")] = SoupMethod.GREEDY,
    force: Annotated[bool, typer.Option("--force", help="Average even where that is possible but unwise.")] = False,
    as_json: AsJson = False,
) -> None:
    """Average models into one, write it to the lake, and compare it with its ingredients."""
    import learners

    cook = {SoupMethod.GREEDY: learners.greedy_soup, SoupMethod.UNIFORM: learners.uniform_soup}[method]
    with open_lake(lake) as opened:
        made = cook(opened, selection, force=force)
    for warning in made.warnings:
        say(f"unwise, but forced: {warning}")
    say(f"{made.model_id}: {len(made.ingredients)} of {len(made.ingredients) + len(made.left_out)} models")
    show(made.comparison, as_json)
