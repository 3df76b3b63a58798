"""Writes a merged model to the lake: its row, tensors, lineage, settings and scores, in one transaction."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

import polars as pl

from learners.soups.check.facts import Facts
from learners.soups.files.stored import Stored, read_header
from schemas import Lake
from zoo.register import IMAGES, LIBRARY, TASKS

KIND = "merge"


@dataclass(frozen=True)
class Made:
    """A merged model that stands in a folder and is to be a model of the lake.

    Attributes:
        name: Its name.
        folder: The repository.
        base: The model whose layout it has.
        ingredients: The models that were merged.
        parent: What they come from, if that took part.
        method: Name of the method.
        settings: Everything else that it depends on.
        license: What it may be under.
        measured: Accuracy by split, if it could be run, and the number of samples.
    """

    name: str
    folder: Path
    base: Facts
    ingredients: Sequence[Facts]
    parent: Facts | None
    method: str
    settings: Mapping[str, Any]
    license: str | None
    measured: Mapping[str, tuple[float, int]]

    @cached_property
    def tensors(self) -> dict[str, Stored]:
        """Where its tensors lie, in the repository's files."""
        files = sorted(self.folder.glob("*.safetensors"))
        return {name: tensor for path in files for name, tensor in read_header(path).items()}

    @property
    def model_id(self) -> str:
        """Its name in the lake."""
        return f"made:{KIND}/{self.name}"


def name_of(method: str, identity: object) -> str:
    """<method>-<hash>: the same merge has the same name."""
    digest = sha256(json.dumps(identity, sort_keys=True, default=str).encode()).hexdigest()
    return f"{method.replace('_', '-')}-{digest[:12]}"


def register(lake: Lake, made: Made) -> str:
    """Write the rows of a merged model, in place of those that may be there, and give its model_id."""
    now = datetime.now(UTC)
    key = {"model_id": made.model_id}
    product = key | {
        "method": made.method,
        "settings": json.dumps(made.settings, default=str),
        "software": f"weightlake {version('weightlake')}",
        "made_at": now,
    }
    with lake.write() as transaction:
        transaction.replace("model", pl.DataFrame([_model(made, now)]), key="model_id")
        transaction.replace("product", pl.DataFrame([product]), key="model_id")
        transaction.replace("lineage", _lineage(made), key="child_id")
        transaction.replace("tensor", _tensors(made), key="model_id")
        transaction.replace("weights", pl.DataFrame([_weights(made)]), key="model_id")
        transaction.replace("measurement", _measurements(made, now), key="model_id")
    return made.model_id


def _model(made: Made, now: datetime) -> dict[str, Any]:
    files = [path for path in made.folder.iterdir() if path.is_file()]
    description = made.base.description
    return {
        "model_id": made.model_id,
        "hub": "made",
        "owner": KIND,
        "name": made.name,
        "location": str(made.folder),
        "task": TASKS.get(description.architecture, IMAGES) if description else None,
        "library": LIBRARY if description else None,
        "license": made.license,
        "architecture": description.architecture if description else made.base.architecture,
        "parameters": sum(tensor.values for tensor in made.tensors.values()),
        "stored_bytes": sum(path.stat().st_size for path in files),
        "files": len(files),
        **dict.fromkeys(["created_at", "first_seen", "last_seen"], now),
    }


def _lineage(made: Made) -> pl.DataFrame:
    parents = {facts.model_id for facts in made.ingredients} | ({made.parent.model_id} if made.parent else set())
    return pl.DataFrame(
        {
            "child_id": made.model_id,
            "parent_id": sorted(parents),
            "relation": KIND,
            "source": "product",
            "confidence": 1.0,
        }
    )


def _tensors(made: Made) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "model_id": made.model_id,
            "path": tensor.path.name,
            "name": name,
            "dtype": tensor.dtype,
            "shape": list(tensor.shape),
            "begin_byte": tensor.begin,
            "end_byte": tensor.end,
        }
        for name, tensor in made.tensors.items()
    ).cast({"shape": pl.List(pl.Int64)})


def _weights(made: Made) -> dict[str, Any]:
    """As a miner writes it, with the fingerprint of the architecture."""
    shapes = sorted([name, list(tensor.shape)] for name, tensor in made.tensors.items())
    return {
        "model_id": made.model_id,
        "format": "safetensors",
        "main": True,
        "files": len({tensor.path for tensor in made.tensors.values()}),
        "tensors": len(made.tensors),
        "parameters": sum(tensor.values for tensor in made.tensors.values()),
        "bytes": sum(tensor.bytes for tensor in made.tensors.values()),
        "fingerprint": sha256(json.dumps(shapes, separators=(",", ":")).encode()).hexdigest(),
    }


def _measurements(made: Made, now: datetime) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "model_id": made.model_id,
            "metric": "accuracy",
            "split": split,
            "value": value,
            "standard_error": (value * (1 - value) / samples) ** 0.5,
            "samples": samples,
            "settings": json.dumps({"candidate": "merge"}),
            "measured_at": now,
        }
        for split, (value, samples) in made.measured.items()
    )
