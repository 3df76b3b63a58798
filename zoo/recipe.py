"""Recipes: what a population is made of, read from TOML and checked before anything runs."""

import json
import tomllib
from functools import cached_property
from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from schemas.errors import UsageError
from zoo.architectures import ARCHITECTURES, SAMPLES, check_options
from zoo.augmentation import AUGMENTATIONS
from zoo.datasets import check_name, kind_of
from zoo.grid import GROUPED, OPTIONS, VARIED, Grid, Seed, Varied, axis_of, each_once, one_of, plain_name
from zoo.group import Group, Member
from zoo.mistakes import expected_one_of, explained
from zoo.optimise import OPTIMIZERS
from zoo.precision import PRECISIONS
from zoo.scale import TINY, tiny
from zoo.schedule import SCHEDULES

ON = "@dataset="
"""Behind a recipe's name: on another dataset than its own."""
MEND = "expected one at their end that has no parent"


class Recipe(BaseModel):
    """A population that can be built: what is trained on what, over which grid, and how.

    `learning_rate` is the peak of the schedule. Without `init_seed` each member starts from its own
    seed; with it all members of a width start from the same weights. `momentum` is that of sgd.

    `precision` is that of forward and backward passes: bfloat16, or float32 where it is left out.

    `parent` names a recipe whose members this one fine-tunes: every member of it of the same width and
    depth is where a whole grid of members starts.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    name: Annotated[str, AfterValidator(plain_name)]
    architecture: Annotated[str, one_of(ARCHITECTURES)]
    dataset: Annotated[str, AfterValidator(check_name)]
    grid: Grid
    epochs: Annotated[int, Field(ge=1, le=100_000)]
    optimizer: Annotated[str, one_of(OPTIMIZERS)] = "sgd"
    momentum: Annotated[float | None, Field(ge=0, lt=1)] = None
    schedule: Annotated[str, one_of(SCHEDULES)] = "constant"
    checkpoint_epochs: Annotated[
        tuple[Annotated[int, Field(ge=0)], ...], BeforeValidator(axis_of), AfterValidator(each_once)
    ] = ()
    init_seed: Seed | None = None
    split_seed: Seed = 0
    augmentation: Annotated[tuple[Annotated[str, one_of(AUGMENTATIONS)], ...], *Varied] = ()
    precision: Annotated[str, one_of(PRECISIONS)] | None = None
    parent: str | None = None

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
        self._suits_the_architecture()
        shortest = min(self.grid.epochs, default=self.epochs)
        if max(self.grid.epochs, default=self.epochs) > self.epochs:
            raise ValueError(f"epochs = {self.epochs}: grid.epochs has more; expected the largest of them")
        late = [epoch for epoch in self.checkpoint_epochs if epoch > shortest]
        if late:
            raise ValueError(f"checkpoint_epochs = {late[0]}: expected epochs from 0 to {shortest}, the last one")
        return self

    def _suits_the_architecture(self) -> None:
        needed, found = SAMPLES.get(self.architecture, ("images", 3))[0], kind_of(self.dataset)
        if needed != found:
            raise ValueError(f"dataset = {self.dataset!r}: a {self.architecture} needs {needed}, these are {found}")
        if self.augmentation and found != "images":
            raise ValueError(f"augmentation = {list(self.augmentation)}: {found} have none; leave it out")
        if any(self.grid.label_noise) and found == "points":
            raise ValueError(f"grid.label_noise = {list(self.grid.label_noise)}: {found} have no labels; leave it out")
        if bool(self.grid.convection) != (self.architecture == "pinn"):
            raise ValueError("grid.convection: a pinn needs it, and others have none")
        try:
            check_options(self.architecture, [name for name in OPTIONS if getattr(self.grid, name)])
        except UsageError as error:
            raise ValueError(f"grid.{error}") from error

    @cached_property
    def sha256(self) -> str:
        """SHA-256 over everything but the name as canonical JSON: the population's identity."""
        identity = self.model_dump(mode="json", exclude={"name", "parent"})
        if not self.augmentation:
            del identity["augmentation"]
        if self.precision is None:
            del identity["precision"]
        for name in VARIED:  # absent when not varied, as before there was such an axis
            if not identity["grid"][name]:
                del identity["grid"][name]
        if self.ancestor:
            identity["parent"] = self.ancestor.sha256
        return sha256(json.dumps(identity, sort_keys=True, separators=(",", ":")).encode()).hexdigest()

    @property
    def population_id(self) -> str:
        """The name and the first eight digits of the hash."""
        return f"{self.name}-{self.sha256[:8]}"

    @cached_property
    def ancestor(self) -> "Recipe | None":
        """The recipe whose members this one fine-tunes.

        Raises:
            UsageError: There is none of this name, or its own parents come back to it.
        """
        met: list[str] = []
        nearest, child, parent = None, self.name, self.parent
        while parent is not None:
            if parent in met:
                raise UsageError(
                    f"recipe {self.name}: its parents go in a circle, {' <- '.join([*met, parent])}; {MEND}"
                )
            met.append(parent)
            try:
                loaded = load_recipe(parent)
            except UsageError as error:
                raise UsageError(f"recipe {child}: parent = {parent!r}: {error}") from error
            nearest, child, parent = nearest or loaded, loaded.name, loaded.parent
        return nearest

    @property
    def members(self) -> int:
        """Number of members."""
        return sum(len(group.members) for group in self.groups())

    def groups(self) -> list[Group]:
        """Members of the same shapes and batch size and the same way of training, which are trained together.

        Raises:
            UsageError: The recipe fine-tunes another one that has no members of a width and depth.
        """
        grid = self.grid
        shapes = product(grid.width, grid.batch_size, *(getattr(grid, name) or (None,) for name in GROUPED))
        return [self._group(width, batch, dict(zip(GROUPED, rest, strict=True))) for width, batch, *rest in shapes]

    def _group(self, width: int, batch_size: int, settings: dict[str, Any]) -> Group:
        grid = self.grid
        varied = [f"-{GROUPED[key]}{value}" for key, value in settings.items() if len(getattr(grid, key)) > 1]
        name = f"w{width}-b{batch_size}{''.join(varied)}"
        optimizer, epochs = settings["optimizer"] or self.optimizer, settings["epochs"] or self.epochs
        axes = product(
            self._parents(width, settings["depth"]),
            grid.convection or (None,),
            grid.initialisation or (None,),
            grid.learning_rate,
            grid.weight_decay,
            grid.label_noise,
            grid.seeds,
        )
        return Group(
            name=name,
            architecture=self.architecture,
            width=width,
            batch_size=batch_size,
            epochs=epochs,
            optimizer=optimizer,
            momentum=self.momentum or 0.0,
            schedule=self.schedule,
            checkpoint_epochs=self.checkpoint_epochs,
            members=tuple(self._member(name, *values) for values in axes),
            depth=settings["depth"],
            activation=settings["activation"],
            dropout=settings["dropout"],
            data_fraction=settings["data_fraction"] or 1.0,
            augmentation=self.augmentation,
        )

    def _parents(self, width: int, depth: int | None) -> list[tuple[int | None, str | None]]:
        """The members that a group fine-tunes, numbered; one that is None where it starts anew."""
        if self.ancestor is None:
            return [(None, None)]
        groups = [group for group in self.ancestor.groups() if (group.width, group.depth) == (width, depth)]
        members = [member.name for group in groups for member in group.members]
        if not members:
            raise UsageError(f"recipe {self.name}: its parent {self.parent} has no members of width {width}")
        found = [f"zoo:{self.ancestor.population_id}/{member}" for member in members]
        return list(enumerate(found)) if len(found) > 1 else [(None, found[0])]

    def _member(
        self,
        group: str,
        parent: tuple[int | None, str | None],
        convection: float | None,
        initialisation: str | None,
        learning_rate: float,
        weight_decay: float,
        label_noise: float,
        seed: int,
    ) -> Member:
        """Axes of several values are part of the name, so that names stay short and apart."""
        parts = [
            ("lr", learning_rate, self.grid.learning_rate),
            ("wd", weight_decay, self.grid.weight_decay),
            ("ln", label_noise, self.grid.label_noise),
            ("", initialisation, self.grid.initialisation),
            ("c", convection, self.grid.convection),
        ]
        suffix = "".join(f"-{short}{value}" for short, value, values in parts if len(values) > 1)
        number, model = parent
        return Member(
            name=f"{group}-s{seed}{suffix}" + (f"-p{number}" if number is not None else ""),
            seed=seed,
            init_seed=seed if self.init_seed is None else self.init_seed,
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            label_noise=label_noise,
            initialisation=initialisation,
            convection=convection,
            parent=model,
        )


def recipe_names() -> list[str]:
    """Names of the recipes that come with the zoo."""
    return sorted(file.name.removesuffix(".toml") for file in _shipped().iterdir() if file.name.endswith(".toml"))


def load_recipe(source: str | Path) -> Recipe:
    """Read and check a recipe: a TOML file, or the name of one that comes with the zoo.

    With `@tiny` behind it the recipe is made to run in seconds, see `zoo.scale.tiny`; with `@dataset=`
    and a dataset it is on that one, as `with_fields` has it.

    Raises:
        UsageError: There is no such recipe, or something in it cannot be; the one line names the
            file, the key and the value, and says what is allowed.
    """
    name = str(source)
    if name.endswith(TINY):
        return Recipe.model_validate(tiny(load_recipe(name.removesuffix(TINY)).model_dump()))
    if ON in name:
        own, _, dataset = name.partition(ON)
        return with_fields(load_recipe(own), dataset=dataset)
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


def with_fields(recipe: Recipe, **fields: object) -> Recipe:
    """The same recipe with other fields (`dataset`, `precision`), which are part of what the population is.

    Fields that are None stay as they are. Parents on the same dataset as the recipe get the other one, too.
    Raises UsageError for a field that cannot be.
    """
    given = {name: value for name, value in fields.items() if value is not None}
    if "dataset" in given and recipe.parent and recipe.ancestor and recipe.ancestor.dataset == recipe.dataset:
        given["parent"] = f"{recipe.parent.partition(ON)[0]}{ON}{given['dataset']}"
    try:
        return Recipe.model_validate({**recipe.model_dump(), **given}) if given else recipe
    except ValidationError as error:
        raise UsageError(f"recipe {recipe.name}: {explained(error, Recipe)}") from error


def _shipped() -> Traversable:
    return files("zoo").joinpath("recipes")
