"""Aligns the models that a query selects with one of them, and writes them to the lake as models of their own."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from importlib.metadata import version

import polars as pl
from torch import Tensor

from learners.soups.alignment.activation_matching import activation_matching
from learners.soups.alignment.matching import Match
from learners.soups.alignment.tracing import permutations_of
from learners.soups.alignment.weight_matching import weight_matching
from learners.soups.check.mergeability import selected
from schemas import Lake, UsageError
from zoo.datasets import load_dataset
from zoo.describe import Description, describe_all
from zoo.load import read_weights
from zoo.locate import locate
from zoo.register import IMAGES, LIBRARY, TASKS

KIND = "aligned"
WAYS = ("weights", "activations")
SAMPLES = 512


@dataclass(frozen=True)
class Aligned:
    """Models whose units stand in one order.

    Attributes:
        model_ids: The reference, and for each other model its aligned twin, made:aligned/...
        similarity: A row for each twin: model_id, aligned_from, before, after: cosine of what was compared.
        sql: A query that selects all of them, in their order.
    """

    model_ids: tuple[str, ...]
    similarity: pl.DataFrame
    sql: str


def align(lake: Lake, sql: str, *, by: str = "weights", seeds: int = 3, samples: int = SAMPLES) -> Aligned:
    """Move the units of all selected models to where those of the first one stand; their functions stay as they are.

    Each twin is a model of the lake that descends from its original by the relation `permuted` and from the reference
    by `aligned`; so that a merge of twins and reference is one of models with a common start.

    Args:
        lake: Where the models are and their twins go.
        sql: Any query that returns `model_id` (and `epoch`); its first row is the reference.
        by: `weights`, or `activations` on training samples.
        seeds: Orders of groups that are tried.
        samples: Training samples whose activations are compared.

    Raises:
        UsageError: The models are not run alike, or nobody here knows how they run; or there is no such way.
    """
    return align_rows(lake, selected(lake, sql), by=by, seeds=seeds, samples=samples)


def align_rows(
    lake: Lake, rows: pl.DataFrame, *, by: str = "weights", seeds: int = 3, samples: int = SAMPLES
) -> Aligned:
    """Align the models of rows with `model_id` (and `epoch`); see `align`."""
    if by not in WAYS:
        raise UsageError(f"align = {by!r}: choose one of: {', '.join(WAYS)}")
    ids: list[str] = rows["model_id"].to_list()
    epochs: list[int | None] = rows["epoch"].to_list() if "epoch" in rows.columns else [None] * len(ids)
    description = _shared(ids, describe_all(lake, ids))
    weights = [read_weights(lake, place) for place in locate(lake, ids, epochs)]
    dataset = load_dataset(description.dataset, description.split_seed)
    module = description.skeleton()
    specification = permutations_of(module, dataset.train.x[:1])
    found = []
    for model_id, epoch, theirs in zip(ids[1:], epochs[1:], weights[1:], strict=True):
        if by == "weights":
            match = weight_matching(specification, weights[0], theirs, seeds)
        else:
            x = dataset.train.x[:samples]
            match = activation_matching(module, specification, weights[0], theirs, x, seeds)
        twin = _Twin(model_id, epoch, ids[0], epochs[0], by, seeds, samples, match)
        _store(lake, twin, description, specification.permute(theirs, match.permutations))
        found.append(twin)
    similarity = pl.DataFrame(
        [
            {"model_id": twin.twin_id, "aligned_from": twin.model_id, "before": match.before, "after": match.similarity}
            for twin in found
            for match in [twin.match]
        ]
    )
    names = (ids[0], *(twin.twin_id for twin in found))
    return Aligned(names, similarity, _query(names, epochs[0]))


def _query(names: Sequence[str], epoch: int | None) -> str:
    """Select the reference, at its checkpoint, and the twins."""
    quoted = [name.replace("'", "''") for name in names]
    values = [f"('{name}', {'NULL' if epoch is None or number else epoch})" for number, name in enumerate(quoted)]
    columns = "model_id" if epoch is None else "model_id, epoch"
    return f"SELECT {columns} FROM (VALUES {', '.join(values)}) AS aligned (model_id, epoch)"  # noqa: S608 - quoted


def _shared(ids: list[str], descriptions: list[Description]) -> Description:
    for model_id, other in zip(ids, descriptions, strict=True):
        one = descriptions[0]
        if other.model_copy(update={"init": None}) != one.model_copy(update={"init": None}):
            raise UsageError(f"{ids[0]} and {model_id} are not run alike; select one architecture, width and dataset")
    return descriptions[0]


@dataclass(frozen=True)
class _Twin:
    """A model that was aligned, with what that depends on."""

    model_id: str
    epoch: int | None
    reference: str
    reference_epoch: int | None
    by: str
    seeds: int
    samples: int
    match: Match

    def settings(self) -> dict[str, object]:
        ends = {"model": [self.model_id, self.epoch], "reference": [self.reference, self.reference_epoch]}
        return ends | {"by": self.by, "seeds": self.seeds, "samples": self.samples if self.by != "weights" else None}

    @property
    def name(self) -> str:
        return f"{self.by}-{sha256(json.dumps(self.settings(), sort_keys=True).encode()).hexdigest()[:12]}"

    @property
    def twin_id(self) -> str:
        return f"made:{KIND}/{self.name}"


def _store(lake: Lake, twin: _Twin, description: Description, weights: Mapping[str, Tensor]) -> None:
    shard = f"made/{KIND}/{twin.name}.safetensors"
    digest = lake.weights.write(shard, {name: tensor[None] for name, tensor in weights.items()})
    now = datetime.now(UTC)
    key = {"model_id": twin.twin_id}
    model = key | {
        "hub": "made",
        "owner": KIND,
        "name": twin.name,
        "task": TASKS.get(description.architecture, IMAGES),
        "library": LIBRARY,
        "architecture": description.architecture,
        "parameters": sum(tensor.numel() for tensor in weights.values()),
        **dict.fromkeys(["created_at", "first_seen", "last_seen"], now),
    }
    similarity = {"similarity_before": twin.match.before, "similarity": twin.match.similarity}
    product = key | {
        "method": f"{twin.by.removesuffix('s')}_matching",
        "settings": json.dumps(twin.settings() | similarity),
        "software": f"weightlake {version('weightlake')}",
        "made_at": now,
    }
    checkpoint = key | {"epoch": 0, "final": True, "shard": shard, "row": 0, "shard_sha256": digest}
    known = {"child_id": twin.twin_id, "source": "product", "confidence": 1.0}
    lineage = [
        known | {"parent_id": twin.reference, "relation": KIND},
        known | {"parent_id": twin.model_id, "relation": "permuted"},
    ]
    with lake.write() as transaction:
        transaction.replace("model", pl.DataFrame([model]), key="model_id")
        transaction.replace("checkpoint", pl.DataFrame([checkpoint]), key="model_id")
        transaction.replace("product", pl.DataFrame([product]), key="model_id")
        transaction.replace("lineage", pl.DataFrame(lineage), key="child_id")
