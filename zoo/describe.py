"""Says what a model is built like and was trained on, so that it can be run and measured."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
from pydantic import BaseModel, ConfigDict, ValidationError
from torch import nn

from schemas import DataError, Lake, UsageError
from zoo.architectures import ARCHITECTURES, skeleton
from zoo.mistakes import check_model_ids, expected_one_of, explained

DEEPEST = 32  # generations of products that are followed

TRAINED = """
SELECT member.model_id, width, population.architecture, classes, input_shape,
    coalesce(dataset, 'of its own') AS dataset, coalesce(split_seed, 0) AS split_seed, depth, activation,
    lineage.parent_id AS init, population.recipe ->> '$.imported.unlike' AS unlike
FROM member JOIN population USING (population_id)
LEFT JOIN lineage ON child_id = member.model_id AND relation = 'initialised-from'
WHERE member.model_id IN (SELECT unnest($ids))
"""
MADE = """
SELECT child_id, min(parent_id) AS ingredient FROM lineage JOIN product ON child_id = product.model_id
WHERE child_id IN (SELECT unnest($ids)) AND relation <> 'stitch' GROUP BY child_id
"""
MINED = "SELECT model_id, location FROM model WHERE model_id IN (SELECT unnest($ids)) AND location IS NOT NULL"


class Description(BaseModel):
    """What it takes to run a model: how it is built, what it was trained on, and where it started."""

    model_config = ConfigDict(frozen=True)

    architecture: str
    width: int
    classes: int
    input_shape: tuple[int, ...]
    dataset: str
    split_seed: int
    init: str | None = None
    """`init:` and a fingerprint of its initial weights; equal for models that started alike."""
    depth: int | None = None
    """Hidden layers or blocks; None for the architecture's own number."""
    activation: str | None = None
    """Activation function; None for the architecture's own."""

    @property
    def shapes(self) -> tuple[object, ...]:
        """What the names and shapes of its tensors hang on: equal for models that can be stacked."""
        return self.architecture, self.width, self.depth, self.input_shape, self.classes

    def skeleton(self) -> nn.Module:
        """Build the model's architecture without values, as `zoo.architectures.skeleton`."""
        options = {"depth": self.depth, "activation": self.activation}
        return skeleton(self.architecture, self.input_shape, self.classes, self.width, **options)  # type: ignore[arg-type] # each has its own type


class _Configuration(BaseModel):
    """The part of a published model's config.json that is ours."""

    weightlake: Description


def read_description(path: str | Path) -> Description:
    """Read how a model is built from a JSON file: the fields of `Description`, alone or as a config.json has them.

    Raises:
        UsageError: There is no such file, or something else is in it; the message names the field.
    """
    try:
        content = json.loads(Path(path).read_bytes())
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(f"{path} is no JSON: {error}") from error
    if not isinstance(content, dict):
        raise UsageError(f"{path}: expected an object with {', '.join(Description.model_fields)}")
    fields = content.get("weightlake", content)
    for name in fields if isinstance(fields, dict) else ():
        if name not in Description.model_fields:
            raise UsageError(f"{path}: {name} is no key: {expected_one_of(name, Description.model_fields)}")
    try:
        return Description.model_validate(fields)
    except ValidationError as error:
        raise UsageError(f"{path}: {explained(error, Description)}") from error


def describe(lake: Lake, model_id: str) -> Description:
    """Describe one model; see `describe_all`."""
    return describe_all(lake, [model_id])[0]


def describe_all(lake: Lake, model_ids: Sequence[str]) -> list[Description]:
    """Describe models, in their order: trained ones, made ones by their first ingredient, published ones.

    Raises:
        UsageError: A model is of none of these kinds; its weights can be loaded, but nobody knows
            how to run it.
        DataError: A published model's config.json is damaged.
    """
    found = describe_each(lake, model_ids)
    described: list[Description] = []
    for model_id in model_ids:
        one = found[model_id]
        if not isinstance(one, Description):
            raise one
        described.append(one)
    return described


def describe_each(lake: Lake, model_ids: Sequence[str]) -> dict[str, "Description | UsageError | DataError"]:
    """Describe models as `describe_all`; of those that cannot be described the error that says why."""
    check_model_ids(model_ids)
    known = _trained(lake, model_ids)
    elders = {model_id: model_id for model_id in model_ids if model_id not in known}
    for _ in range(DEEPEST):
        made = _ingredients(lake, [elder for elder in elders.values() if elder not in known])
        older = {model_id: made.get(elder, elder) for model_id, elder in elders.items()}
        if older == elders:
            break
        elders = older
        known |= _trained(lake, list(made.values()))
    known |= _published(lake, [elder for elder in elders.values() if elder not in known])
    for model_id, elder in elders.items():
        if elder not in known:
            known[elder] = UsageError(
                f"nobody here knows how {model_id} is built: expected a model that was trained or made in this "
                "lake, or a published one whose config.json has a weightlake block"
            )
    return {model_id: known[elders.get(model_id, model_id)] for model_id in model_ids}


def _trained(lake: Lake, ids: Sequence[str]) -> dict[str, Description | UsageError | DataError]:
    rows = lake.sql(TRAINED, ids=list(ids)) if ids else pl.DataFrame()
    return {row["model_id"]: _described(row) for row in rows.iter_rows(named=True)}


def _described(row: dict[str, Any]) -> Description | UsageError:
    """Describe a member; of one that was imported and is no network of the zoo's the error."""
    known = {name: row[name] for name in ("architecture", "width", "classes", "input_shape")}
    if row["architecture"] in ARCHITECTURES and all(value is not None for value in known.values()):
        return Description.model_validate(row)
    reason = (
        row["unlike"] or f"nobody said its {next((name for name, value in known.items() if value is None), 'shape')}"
    )
    return UsageError(
        f"{row['model_id']} can be loaded and compared, and not run: it was imported, and {reason}; where one of "
        "weightlake's architectures computes the same, import it again with --architecture and --dataset"
    )


def _ingredients(lake: Lake, ids: Sequence[str]) -> dict[str, str]:
    return dict(lake.sql(MADE, ids=list(ids)).iter_rows()) if ids else {}


def _published(lake: Lake, ids: Sequence[str]) -> dict[str, Description | UsageError | DataError]:
    found: dict[str, Description | UsageError | DataError] = {}
    for model_id, location in lake.sql(MINED, ids=list(ids)).iter_rows() if ids else ():
        try:
            description = _configured(Path(location) / "config.json")
        except DataError as error:
            found[model_id] = error
        else:
            found |= {model_id: description} if description else {}
    return found


def _configured(path: Path) -> Description | None:
    """Read a config.json; None if there is none or it is of another library."""
    try:
        content = path.read_bytes()
        return _Configuration.model_validate_json(content).weightlake
    except OSError:
        return None
    except ValidationError as error:
        mistake = error.errors()[0]
        if mistake["loc"] in ((), ("weightlake",)):
            return None
        key = ".".join(map(str, mistake["loc"]))
        raise DataError(f"{path} is damaged: {key}: {mistake['msg']}") from error
