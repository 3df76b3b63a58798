"""Aligns the models that a query selects with one of them, and writes them to the lake as models of their own."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from importlib.metadata import version

import polars as pl
from torch import Tensor, nn

from learners.soups.alignment.activation_matching import activation_matching
from learners.soups.alignment.matching import Match
from learners.soups.alignment.tracing import permutations_of
from learners.soups.alignment.weight_matching import weight_matching
from learners.soups.check.mergeability import selected
from learners.soups.files.mapped import is_finite
from learners.soups.members import single
from schemas import Lake, UsageError
from zoo.architectures.pinn import POINT
from zoo.contents import content_of
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


@dataclass(frozen=True, eq=False)
class Way:
    """How the models run, and what they are shown.

    Attributes:
        module: The network; its values do not count.
        x: Samples that it takes; one is enough where weights are matched.
        architecture: What the lake calls it.
        task: What its models are for, where that is known.
        library: Whose architecture it is, where it is one of ours.
        given: A hash of what was given, if it was.
    """

    module: nn.Module
    x: Tensor
    architecture: str
    task: str | None = None
    library: str | None = None
    given: str | None = None


def align(
    lake: Lake,
    sql: str,
    *,
    by: str = "weights",
    seeds: int = 3,
    samples: int = SAMPLES,
    architecture: nn.Module | None = None,
    x: Tensor | None = None,
) -> Aligned:
    """Move the units of all selected models to where those of the first one stand; their functions stay as they are.

    Each twin is a model of the lake with the lineage `permuted` to its original and `aligned` to the reference. That
    does not make them models of one start: of some networks the mean is then as good as they are, of others it is worse
    than without, and how near they lie does not tell which. So `mergeability` and `merge` measure the barrier between
    them where it is known how they run; where it is not, a merge is unwise, and is forced and judged on data.

    Args:
        lake: Where the models are and their twins go.
        sql: Any query that returns `model_id` (and `epoch`); its first row is the reference.
        by: `weights`, or `activations` on training samples.
        seeds: Orders of groups that are tried.
        samples: Training samples whose activations are compared.
        architecture: For mined models of which the lake does not know how they run: a network that is built like them.
        x: Samples that this network takes, `[n, ...]`; one is enough to match weights.

    Raises:
        UsageError: The models are not run alike, or nobody here knows how they run; or there is no such way.
    """
    if (architecture is None) != (x is None):
        raise UsageError("an architecture needs samples x that it takes, and samples an architecture; give both")
    rows = selected(lake, sql)
    way = None if architecture is None or x is None else _given(architecture, x)
    return align_rows(lake, rows, by=by, seeds=seeds, samples=samples, way=way)


def _given(architecture: nn.Module, x: Tensor) -> Way:
    shapes = {name: list(tensor.shape) for name, tensor in architecture.state_dict().items()}
    digest = sha256(repr([repr(architecture), shapes]).encode())
    digest.update(x.contiguous().cpu().numpy().tobytes())
    return Way(architecture.eval(), x, type(architecture).__name__, given=digest.hexdigest()[:16])


def way_of(ids: Sequence[str], descriptions: Sequence[Description]) -> Way:
    """How models run that are described; raises UsageError where they are not run alike, or the data is not here."""
    description = _shared(ids, descriptions)
    x = load_dataset(description.dataset, description.split_seed).train.x
    task = TASKS.get(description.architecture, IMAGES)
    if description.architecture == "pinn":
        x = x[:, :POINT]  # what else a row holds is for the equation
    return Way(description.skeleton(), x, description.architecture, task, LIBRARY)


def _check(model_id: str, weights: Mapping[str, Tensor], way: Way) -> None:
    """Raise UsageError for a model that is built otherwise, or has values that no unit can be compared by."""
    expected = {name: list(tensor.shape) for name, tensor in way.module.state_dict().items()}
    own = {name: list(tensor.shape) for name, tensor in weights.items()}
    for name in sorted(own.keys() | expected):
        if own.get(name) != expected.get(name):
            raise UsageError(
                f"{model_id} is not built like the {way.architecture}: {name} is {own.get(name, 'absent')} in it, and "
                f"{expected.get(name, 'absent')} there"
            )
    for name, tensor in weights.items():
        if not is_finite(tensor):
            raise UsageError(f"{model_id} has values that are not finite, in {name}; leave that model out")


def align_rows(
    lake: Lake,
    rows: pl.DataFrame,
    *,
    by: str = "weights",
    seeds: int = 3,
    samples: int = SAMPLES,
    way: Way | None = None,
) -> Aligned:
    """Align the models of rows with `model_id` (and `epoch`); see `align`."""
    if by not in WAYS:
        raise UsageError(f"align = {by!r}: choose one of: {', '.join(WAYS)}")
    ids: list[str] = rows["model_id"].to_list()
    epochs: list[int | None] = rows["epoch"].to_list() if "epoch" in rows.columns else [None] * len(ids)
    run = way or way_of(ids, describe_all(lake, ids))
    places = locate(lake, ids, epochs)
    for model_id, place in zip(ids, places, strict=True):
        _check(model_id, read_weights(lake, place), run)
    specification = permutations_of(run.module, run.x[:1])
    found = []
    first = read_weights(lake, places[0])
    reference, content = single(first), content_of(first)
    for model_id, epoch, place in zip(ids[1:], epochs[1:], places[1:], strict=True):
        theirs = read_weights(lake, place)  # one at a time
        if by == "weights":
            match = weight_matching(specification, reference, single(theirs), seeds)
        else:
            match = activation_matching(run.module, specification, reference, single(theirs), run.x[:samples], seeds)
        contents = (content_of(theirs), content)
        twin = _Twin(model_id, epoch, ids[0], epochs[0], by, seeds, samples, match, contents, run.given)
        _store(lake, twin, run, specification.permute(theirs, match.permutations))
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


def _shared(ids: Sequence[str], descriptions: Sequence[Description]) -> Description:
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
    contents: tuple[str, str]
    """A hash of the weights of the model, and of the reference's."""
    given: str | None = None

    def settings(self) -> dict[str, object]:
        own, reference = self.contents
        ends = {
            "model": [self.model_id, self.epoch, own],
            "reference": [self.reference, self.reference_epoch, reference],
        }
        named = {"by": self.by, "seeds": self.seeds, "samples": self.samples if self.by != "weights" else None}
        return ends | named | ({"given": self.given} if self.given else {})

    @property
    def name(self) -> str:
        return f"{self.by}-{sha256(json.dumps(self.settings(), sort_keys=True).encode()).hexdigest()[:12]}"

    @property
    def twin_id(self) -> str:
        return f"made:{KIND}/{self.name}"


def _store(lake: Lake, twin: _Twin, way: Way, weights: Mapping[str, Tensor]) -> None:
    shard = f"made/{KIND}/{twin.name}.safetensors"
    digest = lake.weights.write(shard, {name: tensor[None] for name, tensor in weights.items()})
    now = datetime.now(UTC)
    key = {"model_id": twin.twin_id}
    model = key | {
        "hub": "made",
        "owner": KIND,
        "name": twin.name,
        "task": way.task,
        "library": way.library,
        "architecture": way.architecture,
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
