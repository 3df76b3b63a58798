"""Writes a made model to the lake: weights, model, product, lineage and measurements, in one transaction."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version

import polars as pl
from torch import Tensor

from learners.soups.comparison import Figure
from schemas.lake import Lake
from zoo.describe import Description


@dataclass(frozen=True)
class Product:
    """How a soup was made.

    Attributes:
        method: uniform_soup or greedy_soup.
        sql: The selection.
        ingredients: (model_id, epoch or None for the final checkpoint) of each averaged model.
        contents: A hash of the weights of each.
        trials: (model_id, validation accuracy with it, kept) of each step of a search.
        warnings: Why averaging these was unwise.
        settings: What else the weights depend on.
    """

    method: str
    sql: str
    ingredients: tuple[tuple[str, int | None], ...]
    contents: tuple[str, ...]
    trials: tuple[tuple[str, float, bool], ...] = ()
    warnings: tuple[str, ...] = ()
    settings: Mapping[str, object] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """greedy-<hash of method and ingredients>: the same soup of the same weights has the same name."""
        averaged = sorted(zip(self.ingredients, self.contents, strict=True), key=str)
        parts = [self.method, averaged, *([dict(self.settings)] if self.settings else [])]
        identity = json.dumps(parts)
        return f"{self.method.removesuffix('_soup')}-{hashlib.sha256(identity.encode()).hexdigest()[:12]}"

    @property
    def model_id(self) -> str:
        """Its name in the lake."""
        return f"made:soup/{self.name}"


def store(
    lake: Lake, product: Product, description: Description, weights: Mapping[str, Tensor], figures: Sequence[Figure]
) -> str:
    """Write the soup and return its model_id; making the same soup again replaces its rows."""
    shard = f"made/soup/{product.name}.safetensors"
    digest = lake.weights.write(shard, {name: tensor[None] for name, tensor in weights.items()})
    now = datetime.now(UTC)
    key = {"model_id": product.model_id}
    checkpoint = key | {"epoch": 0, "final": True, "shard": shard, "row": 0, "shard_sha256": digest}
    made = key | {"method": product.method, "settings": json.dumps(asdict(product)), "made_at": now}
    with lake.write() as transaction:
        transaction.replace("model", pl.DataFrame([_model(product, description, weights, now)]), key="model_id")
        transaction.replace("checkpoint", pl.DataFrame([checkpoint]), key="model_id")
        transaction.replace("product", pl.DataFrame([made | {"software": _software()}]), key="model_id")
        transaction.replace("lineage", _lineage(product), key="child_id")
        transaction.replace("measurement", _measurements(product, figures, now), key="model_id")
    return product.model_id


def _software() -> str:
    return f"weightlake {version('weightlake')}"


def _model(
    product: Product, description: Description, weights: Mapping[str, Tensor], now: datetime
) -> dict[str, object]:
    return {
        "model_id": product.model_id,
        "hub": "made",
        "owner": "soup",
        "name": product.name,
        "task": "image-classification",
        "library": "weightlake",
        "architecture": description.architecture,
        "parameters": sum(tensor.numel() for tensor in weights.values()),
        **dict.fromkeys(["created_at", "first_seen", "last_seen"], now),
    }


def _lineage(product: Product) -> pl.DataFrame:
    parents = sorted({model_id for model_id, _ in product.ingredients})
    return pl.DataFrame(
        {"child_id": product.model_id, "parent_id": parents, "relation": "soup", "source": "product", "confidence": 1.0}
    )


def _measurements(product: Product, figures: Sequence[Figure], now: datetime) -> pl.DataFrame:
    """The soup's own accuracy as metric `accuracy`, the candidates beside it under names of their own."""
    return pl.DataFrame(
        {
            "model_id": product.model_id,
            "metric": "accuracy" if figure.candidate == "soup" else f"{figure.candidate} accuracy".replace(" ", "_"),
            "split": figure.split,
            "value": figure.accuracy,
            "standard_error": figure.standard_error,
            "samples": figure.samples,
            "settings": json.dumps({"candidate": figure.candidate}),
            "measured_at": now,
        }
        for figure in figures
    )
