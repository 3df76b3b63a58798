"""Gathers what the lake knows of models that are to be merged, and reads no weight for it."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl
from pydantic import TypeAdapter, ValidationError

from learners.soups.check.described import described_by
from learners.soups.files.stored import Stored, stored_tensors
from schemas import DataError, Lake, UsageError, WeightlakeError
from zoo.describe import Description, describe_all
from zoo.locate import InFiles, Place, locate

GENERATIONS = 64
LARGEST_CONFIG = 10_000_000

MODELS = """
SELECT model.model_id, model.license, model.architecture, model.model_type, model.location, model.sha,
    config.config::VARCHAR AS config, member.state, member.diverged_epoch
FROM model LEFT JOIN config USING (model_id) LEFT JOIN member USING (model_id)
WHERE model.model_id IN (SELECT unnest($ids))
"""
HEADERS = """
SELECT model_id, path, name, dtype, shape FROM tensor WHERE model_id IN (SELECT unnest($ids)) ORDER BY model_id, name
"""
PARENTS = """
SELECT child_id, parent_id, relation FROM lineage
WHERE child_id IN (SELECT unnest($ids)) AND relation NOT IN ('permuted', 'aligned')
"""  # a permuted twin computes what its original does, and lies elsewhere, as an aligned one does
ALIGNED = """
WITH RECURSIVE above AS (
    SELECT child_id, parent_id FROM lineage WHERE relation = 'aligned' AND child_id IN (SELECT unnest($ids))
    UNION
    SELECT above.child_id, lineage.parent_id FROM above JOIN lineage ON lineage.child_id = above.parent_id
    WHERE relation = 'aligned'
)
SELECT child_id, list(parent_id) AS references FROM above GROUP BY child_id
"""
MEANS = ("soup", "merge")
"""Relations of what was averaged here."""
CONFIG = TypeAdapter(dict[str, Any])


@dataclass(frozen=True)
class Shape:
    """Type and shape of a tensor, as its header says."""

    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Facts:
    """What is known of one model before its weights are read.

    Attributes:
        model_id: Its name in the lake.
        epoch: The checkpoint; None for the final weights.
        tensors: Type and shape of each tensor; empty where no header was ever read.
        stored: Where the tensors lie; None where they are not on this machine in a format that is safe to open.
        absent: Why they are not.
        damaged: Whether that is because a file of a repository on this machine is missing or no good.
        starts: `init:` names of the initial weights that it descends from.
        ancestors: Models that it descends from, and itself.
        references: Models whose order its units were brought into, and itself.
        config: Its configuration as its library has it.
        architecture: Class that its configuration names.
        repository: The folder of its other files, where there is one.
        license: As its hub states it.
        description: How to run it, if that is known here.
        diverged: The epoch in which its training diverged.
    """

    model_id: str
    epoch: int | None
    tensors: Mapping[str, Shape]
    stored: Mapping[str, Stored] | None
    absent: str | None
    starts: frozenset[str]
    ancestors: frozenset[str]
    references: frozenset[str] = frozenset()
    config: Mapping[str, Any] = field(default_factory=dict)
    architecture: str | None = None
    license: str | None = None
    sha: str | None = None
    repository: Path | None = None
    description: Description | None = None
    diverged: int | None = None
    damaged: bool = False

    @property
    def name(self) -> str:
        """Its name in the lake, and `@` and the epoch of a checkpoint."""
        return self.model_id if self.epoch is None else f"{self.model_id}@{self.epoch}"

    @property
    def labels(self) -> Mapping[str, str]:
        """Name of each class by its number, if the configuration has real ones."""
        labels = self.config.get("id2label")
        if not isinstance(labels, Mapping) or all(str(label).startswith("LABEL_") for label in labels.values()):
            return {}
        return {str(number): str(label) for number, label in labels.items()}


def gather_facts(
    lake: Lake, model_ids: Sequence[str], epochs: Sequence[int | None], given: Sequence[Description] = ()
) -> list[Facts]:
    """Gather the facts of models, in their order.

    Args:
        lake: Where they are known.
        model_ids: Their names.
        epochs: A checkpoint of each; None for the final weights.
        given: How models are built of which the lake does not know it.

    Raises:
        UsageError: A model is not in the lake, or is built like none of what was given.
    """
    ids = list(dict.fromkeys(model_ids))
    rows = {row["model_id"]: row for row in lake.sql(MODELS, ids=ids).iter_rows(named=True)}
    for model_id in ids:
        if model_id not in rows:
            locate(lake, [model_id], [None])  # says what is near it
    known = _headers(lake, ids)
    descriptions = _descriptions(lake, ids)
    family = _Family(lake, ids)
    aligned = dict(lake.sql(ALIGNED, ids=ids).iter_rows())
    facts = []
    for model_id, epoch, place in zip(model_ids, epochs, _places(lake, model_ids, epochs), strict=True):
        row = rows[model_id]
        repository = _repository(place, row["location"])
        stored, why = _stored(lake, place)
        shapes = {name: Shape(tensor.dtype, tensor.shape) for name, tensor in (stored or {}).items()}
        shapes = shapes or known.get(model_id, {})
        description = descriptions.get(model_id)
        if description is None and shapes:
            description = described_by(given, model_id, {name: shape.shape for name, shape in shapes.items()})
        facts.append(
            Facts(
                model_id=model_id,
                epoch=epoch,
                tensors=shapes,
                stored=stored,
                absent=str(why) if why else None,
                starts=family.starts(model_id),
                ancestors=family.ancestors(model_id),
                references=frozenset([model_id, *aligned.get(model_id, [])]),
                config=_config(row["config"]) or _config_on_disk(repository),
                architecture=row["architecture"],
                license=row["license"],
                sha=row["sha"],
                repository=repository,
                description=description,
                diverged=row["diverged_epoch"] if row["state"] == "diverged" else None,
                damaged=isinstance(why, DataError) and Path(row["location"] or "").exists(),
            )
        )
    return facts


def _places(lake: Lake, ids: Sequence[str], epochs: Sequence[int | None]) -> list[Place | WeightlakeError]:
    """Find all weights at once, and one by one only if some are not to be had; gives the reason of those."""
    try:
        return list(locate(lake, ids, epochs))
    except (UsageError, DataError):
        return [_place(lake, model_id, epoch) for model_id, epoch in zip(ids, epochs, strict=True)]


def _place(lake: Lake, model_id: str, epoch: int | None) -> Place | WeightlakeError:
    try:
        return locate(lake, [model_id], [epoch])[0]
    except (UsageError, DataError) as error:
        return error


def _stored(lake: Lake, place: Place | WeightlakeError) -> tuple[Mapping[str, Stored] | None, WeightlakeError | None]:
    if isinstance(place, WeightlakeError):
        return None, place
    try:
        return stored_tensors(lake, place), None
    except DataError as error:
        return None, error


def _repository(place: Place | WeightlakeError, location: str | None) -> Path | None:
    """The folder of a mined model; its configuration may be there even where its weights are not."""
    if isinstance(place, InFiles):
        return place.repository
    return Path(location) if location else None


def _headers(lake: Lake, ids: Sequence[str]) -> dict[str, dict[str, Shape]]:
    """Tensors of mined models by their headers; of a model in several formats the safetensors."""
    found: defaultdict[str, dict[str, Shape]] = defaultdict(dict)
    for model_id, name, dtype, shape in _preferred(lake.sql(HEADERS, ids=list(ids))).iter_rows():
        found[model_id][name] = Shape(dtype, tuple(shape))
    return dict(found)


def _preferred(rows: pl.DataFrame) -> pl.DataFrame:
    safe = pl.col("path").str.ends_with(".safetensors")
    return rows.filter(safe | ~safe.any().over("model_id")).select("model_id", "name", "dtype", "shape")


def _config_on_disk(repository: Path | None) -> dict[str, Any]:
    """Configuration in a model's folder; empty where there is none, or nothing sensible."""
    path = repository / "config.json" if repository else None
    try:
        if path and path.stat().st_size <= LARGEST_CONFIG:
            return _config(path.read_bytes())
    except OSError:
        pass
    return {}


def _config(text: str | bytes | None) -> dict[str, Any]:
    try:
        return CONFIG.validate_json(text) if text else {}
    except ValidationError:
        return {}


def _descriptions(lake: Lake, ids: Sequence[str]) -> dict[str, Description]:
    try:
        return dict(zip(ids, describe_all(lake, ids), strict=True))
    except (UsageError, DataError):
        found = {}
        for model_id in ids:
            try:
                found[model_id] = describe_all(lake, [model_id])[0]
            except (UsageError, DataError):
                continue
        return found


class _Family:
    """Everything that models descend from, read generation by generation."""

    def __init__(self, lake: Lake, ids: Sequence[str]) -> None:
        self.parents: defaultdict[str, set[str]] = defaultdict(set)
        self.means: set[str] = set()
        asked: set[str] = set()
        waiting = set(ids)
        for _ in range(GENERATIONS):
            if not waiting:
                break
            for child, parent, relation in lake.sql(PARENTS, ids=sorted(waiting)).iter_rows():
                self.parents[child].add(parent)
                if relation in MEANS:
                    self.means.add(child)
            asked |= waiting
            waiting = {parent for parents in self.parents.values() for parent in parents} - asked

    @cached_property
    def _above(self) -> dict[str, frozenset[str]]:
        """Everything that each model descends from.

        A mean of models that have nothing in common descends from none of them: what it computes is not theirs.
        """
        found: dict[str, frozenset[str]] = dict.fromkeys(self.parents, frozenset())
        changed = True
        while changed:  # until nothing is added: lineage that others wrote may have circles
            changed = False
            for child, parents in self.parents.items():
                lines = [found.get(parent, frozenset()) | {parent} for parent in parents]
                related = child not in self.means or frozenset.intersection(*lines)
                above = frozenset().union(*lines) if related else frozenset()
                if above != found[child]:
                    found[child], changed = above, True
        return found

    def starts(self, model_id: str) -> frozenset[str]:
        return frozenset(name for name in self._above.get(model_id, ()) if name.startswith("init:"))

    def ancestors(self, model_id: str) -> frozenset[str]:
        return frozenset(name for name in self._above.get(model_id, ()) if not name.startswith("init:")) | {model_id}
