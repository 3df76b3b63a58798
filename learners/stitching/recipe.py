"""Recipes of stitchable networks: which paths, how joints are fitted, how it is trained; read from TOML."""

import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from hashlib import sha256
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError

from learners.stitching.space import SpaceSettings
from learners.stitching.training import StitchTraining
from schemas.errors import UsageError
from zoo.mistakes import what_was_expected

DEFAULT = "default"


@dataclass(frozen=True)
class StitchRecipe:
    """How a stitchable network is made; every value has a default."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    space: SpaceSettings = field(default_factory=SpaceSettings)
    training: StitchTraining = field(default_factory=StitchTraining)
    fit_samples: int = 2000
    """Training samples that joints are fitted to, and statistics of batch normalisation are estimated with."""
    ridge: float = 0.0
    """See `learners.stitching.least_squares.Regressors`."""
    rank: int = 0
    """Rank of the joints' updates, see `learners.stitching.joint.Joint`."""

    @property
    def sha256(self) -> str:
        """SHA-256 over all values."""
        return sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()

    def check(self) -> None:
        """Raise UsageError if a value cannot be."""
        self.space.check()
        self.training.check()
        limits = (("fit_samples", self.fit_samples, 2), ("ridge", self.ridge, 0), ("rank", self.rank, 0))
        for name, value, least in limits:
            if not least <= value < float("inf"):
                raise UsageError(f"{name} = {value}: expected a number from {least} on")


def load_stitch_recipe(source: str | Path) -> StitchRecipe:
    """Read and check a recipe: a TOML file with the fields of `StitchRecipe`, or `default`.

    Raises:
        UsageError: There is no such file, or something in it cannot be; the line names file, key and value.
    """
    if str(source) == DEFAULT:
        return StitchRecipe()
    try:
        given = tomllib.loads(Path(source).read_text(encoding="utf-8"))
    except OSError as error:
        reason = f"recipe {source} cannot be read: {error.strerror}; expected a TOML file, or 'default'"
        raise UsageError(reason) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"recipe {source} is no TOML: {error}") from error
    try:
        recipe = TypeAdapter(StitchRecipe).validate_json(json.dumps(given, default=str), strict=True)
        recipe.check()
    except ValidationError as error:
        mistake = error.errors()[0]
        raise UsageError(f"recipe {source}: {_explained(mistake['loc'], mistake)}") from error
    except UsageError as error:
        raise UsageError(f"recipe {source}: {error}") from error
    return recipe


def _explained(place: Sequence[int | str], mistake: Mapping[str, Any]) -> str:
    key = ".".join(map(str, place))
    if mistake["type"] != "unexpected_keyword_argument":
        return f"{key} = {mistake['input']!r}: {what_was_expected(mistake)}"
    table: type = {"space": SpaceSettings, "training": StitchTraining}.get(str(place[0]), StitchRecipe)
    return f"there is no {key}; expected one of {', '.join(field.name for field in fields(table))}"
