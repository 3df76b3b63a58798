"""The axes of a recipe's grid, and the types of what a recipe may say."""

import re
from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from zoo.architectures.activations import ACTIVATIONS
from zoo.initialise import SCHEMES
from zoo.mistakes import expected_one_of
from zoo.optimise import OPTIMIZERS

SEEDS = 2**32  # torch's generator on the CPU tells no more seeds apart
MOST_SEEDS = 100_000
WIDEST = 65_536  # an mlp of this width has layers of 17 GB
NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")


def axis_of(value: object) -> object:
    """A single value stands for a list of one."""
    return tuple(value) if isinstance(value, list) else value if isinstance(value, tuple) else (value,)


def _seeds(value: object) -> object:
    """A whole number stands for that many seeds, from 0."""
    if isinstance(value, int) and not isinstance(value, bool):
        if not 1 <= value <= MOST_SEEDS:
            raise ValueError(f"expected a number of seeds from 1 to {MOST_SEEDS:,} or a list of seeds")
        return tuple(range(value))
    return axis_of(value)


def each_once(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Sort values; raise ValueError if one stands twice."""
    if len(set(values)) < len(values):
        raise ValueError("expected each value once")
    return tuple(sorted(values))


def one_of(choices: Iterable[str]) -> AfterValidator:
    """Check that a value is among choices, which a mistake lists."""

    def check(value: str) -> str:
        if value not in choices:
            raise ValueError(expected_one_of(value, choices))
        return value

    return AfterValidator(check)


def plain_name(name: str) -> str:
    """Give a name back that can be part of a path; raise ValueError for any other."""
    if not NAME.fullmatch(name):
        raise ValueError("expected at most 64 small letters, digits, '-', '_' and '.', starting with a letter or digit")
    return name


OPTIONS = ("depth", "activation", "dropout")
GROUPED = {"depth": "d", "activation": "", "dropout": "p", "optimizer": "", "data_fraction": "f", "epochs": "e"}
"""Axes that split a population into groups beside width and batch size, and how they are written in names."""
VARIED = (*GROUPED, "initialisation", "convection")

Axis = (BeforeValidator(axis_of), AfterValidator(each_once), Field(min_length=1))
Whole = Annotated[int, Field(ge=1, le=2**31 - 1)]
Width = Annotated[int, Field(ge=1, le=WIDEST)]
Seed = Annotated[int, Field(ge=0, lt=SEEDS)]
Finite = Field(allow_inf_nan=False)


Varied = (BeforeValidator(axis_of), AfterValidator(each_once))  # an axis that may be left out
Share = Annotated[float, Field(gt=0, le=1)]


class Grid(BaseModel):
    """The axes of a population; each value is a list, and a single one stands for a list of one.

    Axes from `depth` on may be left out: then the architecture's own depth, activation and
    initialisation are taken, no dropout, all training samples, and the recipe's optimizer and epochs.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    width: Annotated[tuple[Width, ...], *Axis]
    batch_size: Annotated[tuple[Whole, ...], *Axis]
    seeds: Annotated[tuple[Seed, ...], BeforeValidator(_seeds), AfterValidator(each_once), Field(min_length=1)]
    learning_rate: Annotated[tuple[Annotated[float, Field(gt=0), Finite], ...], *Axis]
    weight_decay: Annotated[tuple[Annotated[float, Field(ge=0), Finite], ...], *Axis] = (0.0,)
    label_noise: Annotated[tuple[Annotated[float, Field(ge=0, le=1)], ...], *Axis] = (0.0,)
    depth: Annotated[tuple[Annotated[int, Field(ge=1, le=1000)], ...], *Varied] = ()
    activation: Annotated[tuple[Annotated[str, one_of(ACTIVATIONS)], ...], *Varied] = ()
    dropout: Annotated[tuple[Annotated[float, Field(ge=0, lt=1)], ...], *Varied] = ()
    initialisation: Annotated[tuple[Annotated[str, one_of(SCHEMES)], ...], *Varied] = ()
    optimizer: Annotated[tuple[Annotated[str, one_of(OPTIMIZERS)], ...], *Varied] = ()
    data_fraction: Annotated[tuple[Share, ...], *Varied] = ()
    epochs: Annotated[tuple[Annotated[int, Field(ge=1, le=100_000)], ...], *Varied] = ()
    convection: Annotated[tuple[Annotated[float, Field(ge=0), Finite], ...], *Varied] = ()
