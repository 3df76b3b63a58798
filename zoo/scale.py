"""Makes a recipe small: the same architecture, the same axes, on data that are made, in seconds."""

from collections.abc import Mapping
from typing import Any

from schemas.errors import UsageError
from zoo.datasets import facts, kind_of
from zoo.mistakes import expected_one_of

TINY = "@tiny"
EPOCHS = 2
BATCH_SIZES = (8, 16)
MEMBERS_ALIKE = 2
"""Seeds of each cell, if there are several."""
POINTS_AT_ONCE = 250
NARROW = 8
"""Width where there is only one."""
STAND_INS = {"tokens": "sequences:16:32", "points": "convection"}


def tiny(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Keep the shape of a recipe, given by its fields, and take almost all of its work away.

    Each axis of several values keeps two (the smallest widths, depths and epochs, the largest shares of
    the data, the ends of the others), a single width becomes 8, a single share of the data all of it, batch sizes
    8 and 16, seeds two at most, epochs two. Data are made: images of 8 x 8 in as many colours, or short
    sequences of 32 tokens. The parent of a fine-tune is made small the same way.
    """
    grid: dict[str, Any] = {name: _two(name, values) for name, values in recipe["grid"].items()}
    batches = (POINTS_AT_ONCE,) if recipe["architecture"] == "pinn" else BATCH_SIZES[: len(grid["batch_size"])]
    grid |= {"batch_size": batches, "seeds": recipe["grid"]["seeds"][:MEMBERS_ALIKE]}
    grid["epochs"] = (1, 2)[: len(grid["epochs"])]
    shortest = min(grid["epochs"], default=EPOCHS)
    return {
        **recipe,
        "name": f"{recipe['name'][:59]}-tiny",
        "dataset": stand_in(recipe["dataset"]),
        "epochs": EPOCHS,
        "checkpoint_epochs": tuple(epoch for epoch in recipe["checkpoint_epochs"] if epoch <= shortest),
        "grid": grid,
        "parent": recipe["parent"] and recipe["parent"] + TINY,
    }


def scaled(source: str, scale: str | None) -> str:
    """Name a recipe at a scale; raise UsageError if there is no such scale."""
    if scale not in (None, TINY.removeprefix("@")):
        raise UsageError(f"scale {scale!r}: {expected_one_of(scale, [TINY.removeprefix('@')])}")
    return source + TINY if scale else source


def stand_in(dataset: str) -> str:
    """Name made data of the same kind as a dataset."""
    kind = kind_of(dataset)
    if kind != "images":
        return STAND_INS[kind]
    known = facts(dataset)
    channels = known[0][0] if known else 3
    return f"patterns:{channels}x8x8:4"


def _two(name: str, values: tuple[Any, ...]) -> tuple[Any, ...]:
    if name == "width" and len(values) == 1:
        return (min(values[0], NARROW),)
    if name == "data_fraction" and len(values) == 1:
        return (1.0,)
    if len(values) < 3:
        return values
    if name == "data_fraction":
        return values[-2:]
    return values[:2] if name in ("width", "depth") else (values[0], values[-1])
