"""Merges the models that a query selects, from disk to disk, into a repository and a model of the lake."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import torch

from learners.soups.check.facts import Facts, gather_facts
from learners.soups.check.mergeability import Mergeability, assess, selected
from learners.soups.check.problems import IMPOSSIBLE, UNWISE
from learners.soups.files.merge_files import Ingredients, Progress, merge_files
from learners.soups.files.writing import SHARD_BYTES
from learners.soups.kitchen import Kitchen
from learners.soups.licences import combined_licence
from learners.soups.merging import Merge, prepare
from learners.soups.methods import method_named
from learners.soups.registering import Made, name_of, register
from learners.soups.repository import Recipe, check_free, copy_of_base, whole_folder, write_card
from schemas import Lake, UsageError

FOLDER = "made/merge"
DTYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16, "float32": torch.float32, "float64": torch.float64}
SAMPLES = 500


@dataclass(frozen=True)
class Merged:
    """A merged model that now stands in the lake.

    Attributes:
        model_id: Its name in the lake, made:merge/...
        folder: The repository with its weights, configuration and card.
        method: The method's name.
        ingredients: The models that were merged.
        parent: What they come from, where that took part.
        accuracy: By split, where it is known how the model runs and its data is at hand.
        warnings: Why merging these was unwise, if it was forced.
        notes: What one should know of it.
    """

    model_id: str
    folder: Path
    method: str
    ingredients: tuple[str, ...]
    parent: str | None
    accuracy: Mapping[str, float]
    warnings: tuple[str, ...]
    notes: tuple[str, ...]


def merge(
    lake: Lake,
    sql: str,
    method: str = "linear",
    *,
    parent: str | None = None,
    to: str | Path | None = None,
    keep: Sequence[str] = (),
    dtype: str | None = None,
    precision: str = "float32",
    seed: int = 0,
    force: bool = False,
    shard_bytes: int = SHARD_BYTES,
    samples: int = SAMPLES,
    progress: Progress | None = None,
    **settings: Any,
) -> Merged:
    """Merge all models that a query selects, whatever their size.

    What is impossible is refused before a weight is read, and what is unwise too, unless it is forced. Tensors are
    read through memory maps, one at a time; the same selection and settings give the same model again. A model that
    was trained here is evaluated as well, with batch-norm statistics estimated anew.

    Args:
        lake: Where the models are, and the merged one goes.
        sql: Any query that returns `model_id` (and `epoch`; and `weight`, as the setting `weights` of a method); the
            order of its rows counts for methods of one run's checkpoints.
        method: A name in `learners.soups.methods.METHODS`.
        parent: model_id of the model that they were fine-tuned from; without it what lineage says, if the method
            needs one. The merged model has the parent's layout, configuration and tokenizer, or the first one's.
        to: Folder of the repository; without it one inside of the lake.
        keep: Patterns of tensor names (`head.*`) that are taken from the base as they are; others may lack them.
        dtype: Type of the merged tensors, float16, bfloat16, float32 or float64; without it that of the base.
        precision: Type that is computed in, float32 or float64.
        seed: What a method draws hangs on it.
        force: Merge even where that is possible but unwise.
        shard_bytes: Largest size of a file of weights.
        samples: Training samples of each model that Fisher information and Gram matrices are computed from.
        progress: Is called after each tensor.
        settings: Those of the method.

    Raises:
        UsageError: The models cannot be merged, or should not; a setting cannot be; a parent, data or weights that
            are needed are not to be had; the folder is there already. The message says what would help.
        DataError: A file of weights is damaged.
        OutsideError: The disk is full or cannot be written.
    """
    request = _Request(sql, method, parent, tuple(keep), dtype, precision, seed, Path(to) if to is not None else None)
    order = _order(lake, request, settings)
    warnings = refuse(order.report, force)
    check_free(order.folder(lake), replace=to is None)
    kitchen = Kitchen(order.models, samples)
    ingredients = _ingredients(order, kitchen)
    with whole_folder(order.folder(lake), replace=to is None) as beside:
        out = DTYPES[dtype] if dtype else None
        merge_files(order.plan, ingredients, beside, dtype=out, shard_bytes=shard_bytes, progress=progress)
        notes = (*order.report.notes, *kitchen.finish(beside))
        measured = kitchen.accuracy(beside)
        copy_of_base(order.base, beside)
        licences = combined_licence(lake, [facts.license for facts in order.report.facts if not _trained(facts)])
        write_card(
            Recipe(order.name, sql, order.plan, order.models, order.elder, request.keep, (*warnings, *notes), licences),
            beside,
        )
    made = Made(
        name=order.name,
        folder=order.folder(lake).resolve(),
        base=order.base,
        ingredients=order.models,
        parent=order.elder,
        method=method,
        settings=order.settings() | {"warnings": warnings, "notes": notes},
        license=licences.licence,
        measured=measured,
    )
    model_id = register(lake, made)
    return Merged(
        model_id=model_id,
        folder=order.folder(lake),
        method=method,
        ingredients=tuple(facts.model_id for facts in order.models),
        parent=order.elder.model_id if order.elder else None,
        accuracy={split: value for split, (value, _) in measured.items()},
        warnings=warnings,
        notes=notes,
    )


def refuse(report: Mergeability, force: bool) -> tuple[str, ...]:
    """Raise UsageError for a merge that is impossible, or unwise and not forced; gives what is unwise.

    The message says the first reason and what would help.
    """
    if report.verdict == IMPOSSIBLE or (report.verdict == UNWISE and not force):
        help = f"; {report.helps[0]}" if report.helps else ""
        if report.verdict == IMPOSSIBLE:
            raise UsageError(f"these cannot be merged: {report.reasons[0]}{help}")
        raise UsageError(
            f"a merge is possible but unwise: {report.reasons[0]}{help}; force=True (--force) merges all the same"
        )
    return report.reasons


@dataclass(frozen=True)
class _Request:
    """What was asked for."""

    sql: str
    method: str
    parent: str | None
    keep: tuple[str, ...]
    dtype: str | None
    precision: str
    seed: int
    to: Path | None

    def __post_init__(self) -> None:
        if self.precision not in ("float32", "float64"):
            raise UsageError(f"precision = {self.precision!r}: merges are computed in float32 or float64")
        if self.dtype is not None and self.dtype not in DTYPES:
            raise UsageError(f"dtype = {self.dtype!r}: choose one of: {', '.join(DTYPES)}")


@dataclass(frozen=True)
class _Order:
    """What was asked for, with everything that is known of it before a weight is read."""

    request: _Request
    plan: Merge
    report: Mergeability
    models: tuple[Facts, ...]
    elder: Facts | None

    @property
    def base(self) -> Facts:
        """The model whose layout, configuration and tokenizer the merged one has."""
        return self.elder or self.models[0]

    def settings(self) -> dict[str, Any]:
        """Everything that the merged weights depend on."""
        request = self.request
        return {
            **self.plan.settings,
            "sql": request.sql,
            "seed": request.seed,
            "precision": request.precision,
            "dtype": request.dtype,
            "keep": request.keep,
            "parent": self.elder.model_id if self.elder else None,
            "ingredients": [[facts.model_id, facts.epoch] for facts in self.models],
        }

    @property
    def name(self) -> str:
        identity = self.settings() | {"sql": None, "commits": [facts.sha for facts in self.report.facts]}
        return name_of(self.request.method, identity)

    def folder(self, lake: Lake) -> Path:
        return self.request.to or lake.weights.folder / FOLDER / self.name


def _order(lake: Lake, request: _Request, settings: Mapping[str, Any]) -> _Order:
    rows = selected(lake, request.sql, least=1)
    if not method_named(request.method).ordered and "weights" not in settings:
        rows = rows.sort("model_id", *({"epoch"} & set(rows.columns)))  # so that the same models give the same merge
    ids: list[str] = rows["model_id"].to_list()
    dtype = DTYPES[request.precision]
    plan = prepare(request.method, len(ids), seed=request.seed, dtype=dtype, **_weighted(rows, settings))
    parent = request.parent
    if parent is None and "parent" in plan.method.needs:
        parent = _nearest_ancestor(lake, ids, plan.method.name)
    if parent in ids:
        raise UsageError(f"{parent} is both an ingredient and the parent; leave it out of the query")
    report = assess(lake, rows, parent=parent, keep=request.keep)
    absent = next((facts for facts in report.facts if facts.stored is None), None)
    if absent is not None and report.verdict != IMPOSSIBLE:
        raise UsageError(f"the weights of {absent.model_id} cannot be read: {absent.absent}")
    return _Order(request, plan, report, report.facts[: len(ids)], report.facts[-1] if parent else None)


def _weighted(rows: pl.DataFrame, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with the query's column `weight` as the method's weights."""
    if "weight" not in rows.columns:
        return dict(settings)
    if "weights" in settings:
        raise UsageError("weights are given twice: by the query's column weight and as a setting; leave one out")
    if not rows.schema["weight"].is_numeric() or rows["weight"].null_count():
        raise UsageError("the query's column weight has to be a number in each row")
    return {**settings, "weights": rows["weight"].cast(pl.Float64).to_list()}


def _nearest_ancestor(lake: Lake, ids: Sequence[str], method: str) -> str:
    """The model that all come from, as lineage says: the one that the most of them come from directly."""
    facts = gather_facts(lake, ids, [None] * len(ids))
    shared = frozenset.intersection(*(each.ancestors - {each.model_id} for each in facts)) - set(ids)
    known = lake.sql(KNOWN, ids=ids, shared=sorted(shared)).get_column("model_id").to_list()
    if not known:
        raise UsageError(
            f"{method} needs the model that the ingredients were fine-tuned from, and lineage knows of none that is in "
            "this lake; name it with parent (--parent)"
        )
    return str(known[0])


KNOWN = """
SELECT model_id FROM model LEFT JOIN lineage ON parent_id = model_id AND child_id IN (SELECT unnest($ids))
WHERE model_id IN (SELECT unnest($shared)) GROUP BY model_id ORDER BY count(child_id) DESC, model_id
"""


def _ingredients(order: _Order, kitchen: Kitchen) -> Ingredients:
    """Where all tensors lie, with what the method needs of data."""
    needs = order.plan.method.needs
    stored = tuple(facts.stored or {} for facts in order.models)
    return Ingredients(
        models=stored,
        parent=order.elder.stored if order.elder else None,
        layout=order.base.stored or {},
        kept=order.request.keep,
        fishers=kitchen.fishers() if "fishers" in needs else (),
        grams=kitchen.grams() if "grams" in needs else (),
    )


def _trained(facts: Facts) -> bool:
    """Whether a model was trained here, or made of such, so that no hub states a licence for it."""
    return facts.model_id.startswith(("zoo:", "made:"))
