"""Recipes: what a population is made of, read from TOML and checked before anything runs."""

import json
import re
import tomllib
from collections.abc import Iterable
from functools import cached_property
from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from schemas.errors import UsageError
from zoo.architectures import ARCHITECTURES
from zoo.datasets import check_name
from zoo.group import Group, Member
from zoo.mistakes import expected_one_of, explained
from zoo.optimise import OPTIMIZERS
from zoo.schedule import SCHEDULES

SEEDS = 2**32  # torch's generator on the CPU tells no more seeds apart
MOST_SEEDS = 100_000
WIDEST = 65_536  # an mlp of this width has layers of 17 GB
NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")


def _axis(value: object) -> object:
    """A number stands for a list of one."""
    return tuple(value) if isinstance(value, list) else value if isinstance(value, tuple) else (value,)


def _seeds(value: object) -> object:
    """A whole number stands for that many seeds, from 0."""
    if isinstance(value, int) and not isinstance(value, bool):
        if not 1 <= value <= MOST_SEEDS:
            raise ValueError(f"expected a number of seeds from 1 to {MOST_SEEDS:,} or a list of seeds")
        return tuple(range(value))
    return _axis(value)


def _each_once(values: tuple[Any, ...]) -> tuple[Any, ...]:
    if len(set(values)) < len(values):
        raise ValueError("expected each value once")
    return tuple(sorted(values))


def _one_of(choices: Iterable[str]) -> AfterValidator:
    def check(value: str) -> str:
        if value not in choices:
            raise ValueError(expected_one_of(value, choices))
        return value

    return AfterValidator(check)


def _plain_name(name: str) -> str:
    if not NAME.fullmatch(name):
        raise ValueError("expected at most 64 small letters, digits, '-', '_' and '.', starting with a letter or digit")
    return name


Axis = (BeforeValidator(_axis), AfterValidator(_each_once), Field(min_length=1))
Whole = Annotated[int, Field(ge=1, le=2**31 - 1)]
Width = Annotated[int, Field(ge=1, le=WIDEST)]
Seed = Annotated[int, Field(ge=0, lt=SEEDS)]
Finite = Field(allow_inf_nan=False)


class Grid(BaseModel):
    """The axes of a population; each value is a list, and a single number stands for a list of one."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    width: Annotated[tuple[Width, ...], *Axis]
    batch_size: Annotated[tuple[Whole, ...], *Axis]
    seeds: Annotated[tuple[Seed, ...], BeforeValidator(_seeds), AfterValidator(_each_once), Field(min_length=1)]
    learning_rate: Annotated[tuple[Annotated[float, Field(gt=0), Finite], ...], *Axis]
    weight_decay: Annotated[tuple[Annotated[float, Field(ge=0), Finite], ...], *Axis] = (0.0,)
    label_noise: Annotated[tuple[Annotated[float, Field(ge=0, le=1)], ...], *Axis] = (0.0,)


class Recipe(BaseModel):
    """A population that can be built: what is trained on what, over which grid, and how.

    `learning_rate` is the peak of the schedule. Without `init_seed` each member starts from its own
    seed; with it all members of a width start from the same weights. `momentum` is that of sgd.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    name: Annotated[str, AfterValidator(_plain_name)]
    architecture: Annotated[str, _one_of(ARCHITECTURES)]
    dataset: Annotated[str, AfterValidator(check_name)]
    grid: Grid
    epochs: Annotated[int, Field(ge=1, le=100_000)]
    optimizer: Annotated[str, _one_of(OPTIMIZERS)] = "sgd"
    momentum: Annotated[float | None, Field(ge=0, lt=1)] = None
    schedule: Annotated[str, _one_of(SCHEDULES)] = "constant"
    checkpoint_epochs: Annotated[
        tuple[Annotated[int, Field(ge=0)], ...], BeforeValidator(_axis), AfterValidator(_each_once)
    ] = ()
    init_seed: Seed | None = None
    split_seed: Seed = 0

    @model_validator(mode="before")
    @classmethod
    def _momentum_of_sgd(cls, fields: Any) -> Any:
        if isinstance(fields, dict) and fields.get("optimizer", "sgd") == "sgd" and fields.get("momentum") is None:
            return {**fields, "momentum": 0.9}
        return fields

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.optimizer != "sgd" and self.momentum is not None:
            raise ValueError(f"momentum = {self.momentum}: {self.optimizer} has none; leave it out")
        late = [epoch for epoch in self.checkpoint_epochs if epoch > self.epochs]
        if late:
            raise ValueError(f"checkpoint_epochs = {late[0]}: expected epochs from 0 to {self.epochs}, the last one")
        return self

    @cached_property
    def sha256(self) -> str:
        """SHA-256 over everything but the name as canonical JSON: the population's identity."""
        identity = self.model_dump(mode="json", exclude={"name"})
        return sha256(json.dumps(identity, sort_keys=True, separators=(",", ":")).encode()).hexdigest()

    @property
    def population_id(self) -> str:
        """The name and the first eight digits of the hash."""
        return f"{self.name}-{self.sha256[:8]}"

    @property
    def members(self) -> int:
        """Number of members."""
        return sum(len(group.members) for group in self.groups())

    def groups(self) -> list[Group]:
        """Members of the same width and batch size, which are trained together."""
        return [self._group(width, batch) for width, batch in product(self.grid.width, self.grid.batch_size)]

    def _group(self, width: int, batch_size: int) -> Group:
        name = f"w{width}-b{batch_size}"
        grid = self.grid
        axes = product(grid.learning_rate, grid.weight_decay, grid.label_noise, grid.seeds)
        return Group(
            name=name,
            architecture=self.architecture,
            width=width,
            batch_size=batch_size,
            epochs=self.epochs,
            optimizer=self.optimizer,
            momentum=self.momentum or 0.0,
            schedule=self.schedule,
            checkpoint_epochs=self.checkpoint_epochs,
            members=tuple(self._member(name, *values) for values in axes),
        )

    def _member(self, group: str, learning_rate: float, weight_decay: float, label_noise: float, seed: int) -> Member:
        """Axes of several values are part of the name, so that names stay short and apart."""
        axes = (
            ("lr", learning_rate, self.grid.learning_rate),
            ("wd", weight_decay, self.grid.weight_decay),
            ("ln", label_noise, self.grid.label_noise),
        )
        suffix = "".join(f"-{short}{value!r}" for short, value, values in axes if len(values) > 1)
        init_seed = seed if self.init_seed is None else self.init_seed
        return Member(f"{group}-s{seed}{suffix}", seed, init_seed, learning_rate, weight_decay, label_noise)


def recipe_names() -> list[str]:
    """Names of the recipes that come with the zoo."""
    return sorted(file.name.removesuffix(".toml") for file in _shipped().iterdir() if file.name.endswith(".toml"))


def load_recipe(source: str | Path) -> Recipe:
    """Read and check a recipe: a TOML file, or the name of one that comes with the zoo.

    Raises:
        UsageError: There is no such recipe, or something in it cannot be; the one line names the
            file, the key and the value, and says what is allowed.
    """
    name = str(source)
    if isinstance(source, str) and not name.endswith(".toml") and not Path(name).is_file():
        if name not in recipe_names():
            raise UsageError(f"recipe {name!r} is no .toml file: {expected_one_of(name, recipe_names())}")
        return parse_recipe(_shipped().joinpath(f"{name}.toml").read_bytes(), f"{name}.toml")
    try:
        content = Path(source).read_bytes()
    except OSError as error:
        raise UsageError(f"recipe {name} cannot be read: {error.strerror}") from error
    return parse_recipe(content, name)


def parse_recipe(content: bytes, file: str) -> Recipe:
    """Check a recipe's TOML; `file` is what messages call it. Raises UsageError as `load_recipe` does."""
    try:
        fields = tomllib.loads(content.decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"recipe {file} is no TOML: {error}") from error
    try:
        return Recipe.model_validate(fields)
    except ValidationError as error:
        raise UsageError(f"recipe {file}: {explained(error, Recipe)}") from error


def _shipped() -> Traversable:
    return files("zoo").joinpath("recipes")
