"""What a merge was asked for, checked against what is known of the models before a weight is merged."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import torch

from learners.soups.alignment.align import WAYS, align_rows, way_of
from learners.soups.check.connected import Kept, judged_by_barriers, without_alignment
from learners.soups.check.contents import differing_contents
from learners.soups.check.facts import Facts, gather_facts
from learners.soups.check.mergeability import assess, named_model, refuse
from learners.soups.check.problem import IMPOSSIBLE
from learners.soups.check.starts import with_starts
from learners.soups.check.verdicts import Mergeability, verdict_on
from learners.soups.kitchen import DATA_NEEDS, Kitchen
from learners.soups.merging import Merge, prepare
from learners.soups.methods import method_named
from learners.soups.registering import name_of
from learners.soups.repository import check_free
from learners.soups.sequence import in_order
from schemas import Lake, UsageError
from zoo.describe import Description

FOLDER = "made/merge"
SAMPLES = 500
"""Training samples of each model that Fisher information and Gram matrices are computed from."""
DTYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16, "float32": torch.float32, "float64": torch.float64}


@dataclass(frozen=True)
class Request:
    """What was asked for."""

    sql: str
    method: str
    parent: str | None
    keep: tuple[str, ...]
    dtype: str | None
    precision: str
    seed: int
    to: Path | None
    align: str | None = None
    repair: bool = False
    given: tuple[Description, ...] = ()
    samples: int = SAMPLES

    def __post_init__(self) -> None:
        if self.precision not in ("float32", "float64"):
            raise UsageError(f"precision = {self.precision!r}: merges are computed in float32 or float64")
        if self.dtype is not None and self.dtype not in DTYPES:
            raise UsageError(f"dtype = {self.dtype!r}: choose one of: {', '.join(DTYPES)}")
        if self.align is not None and self.align not in WAYS:
            raise UsageError(f"align = {self.align!r}: choose one of: {', '.join(WAYS)}")
        if self.samples < 1:
            raise UsageError(f"samples = {self.samples}: expected at least 1")
        needs = method_named(self.method).needs
        if (self.align or self.repair) and ("parent" in needs or self.parent):
            raise UsageError(
                f"align and repair are for means of networks; {self.method} starts from a parent, whose fine-tunes have"
                " their units in one order"
            )

    def treatment(self) -> dict[str, Any]:
        """What is done to the models before and to the mean after, if anything, and how they are run, if given."""
        every = {
            "align": self.align,
            "repair": self.repair,
            "dtype": self.dtype,
            "samples": self.samples if DATA_NEEDS.keys() & method_named(self.method).needs else None,
            "description": [each.model_dump() for each in self.given],
        }
        return {name: value for name, value in every.items() if value}


@dataclass(frozen=True)
class Order:
    """What was asked for, with everything that is known of it before a weight is merged.

    Attributes:
        request: What was asked for.
        plan: The method with its settings.
        report: The verdict on the models.
        warnings: What is unwise.
        models: What is merged: the models, or in their place twins with their units in one order.
        elder: What they come from, if that takes part.
        weighted: Whether the query gives the weights.
    """

    request: Request
    plan: Merge
    report: Mergeability
    warnings: tuple[str, ...]
    models: tuple[Facts, ...]
    elder: Facts | None
    weighted: bool = False

    @property
    def selected(self) -> tuple[Facts, ...]:
        """The models that the query selects, which is who is merged for everybody who has not this lake."""
        return self.report.facts[: len(self.models)]

    @property
    def said(self) -> tuple[str, ...]:
        """What a method takes the query's word for: checkpoints of one run that were mined are models of their own."""
        names = {facts.model_id for facts in self.models}
        if not self.plan.method.of_one_run or len(names) < 2:
            return ()
        return (
            f"{self.plan.method.name} averages the checkpoints of one run in their order; that these {len(names)} "
            "models are such, and in this order, is the query's word: nothing here knows it",
        )

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
            "parent": self.elder.name if self.elder else None,
            "ingredients": [[facts.model_id, facts.epoch] for facts in self.models],
            **request.treatment(),
        }

    @property
    def everybody(self) -> tuple[Facts, ...]:
        """What is merged, and what that comes from, if it takes part."""
        return (*self.models, *([self.elder] if self.elder else []))

    @property
    def name(self) -> str:
        """The merged model's name."""
        identity = self.settings() | {"sql": None, "commits": [facts.sha for facts in self.everybody]}
        return name_of(self.request.method, identity)

    def folder(self, lake: Lake) -> Path:
        """Where the repository goes."""
        return self.request.to or lake.weights.folder / FOLDER / self.name


def order(lake: Lake, request: Request, settings: Mapping[str, Any], force: bool) -> Order:
    """Check what was asked for, and refuse it if it cannot or should not be; errors as in `merge`.

    What is impossible is found in lineage, headers and settings, before a weight is read.
    """
    if request.to is not None:
        check_free(request.to, replace=False)
    rows = in_order(lake, request.sql, method_named(request.method), settings)
    ids: list[str] = rows["model_id"].to_list()
    dtype = DTYPES[request.precision]
    plan = prepare(request.method, len(ids), seed=request.seed, dtype=dtype, **_weighted(rows, settings))
    parent = _parent(lake, rows, request.parent, plan)
    aligned = request.align is not None
    report = assess(lake, rows, parent=parent, keep=request.keep, aligned=aligned, read=False, given=request.given)
    _refuse_unread(report, Kitchen(report.facts[: len(ids)], request.samples, request.repair), plan)
    report = _read_of(with_starts(report, request.keep), request.keep)
    twins = None
    if aligned:
        refuse(report, force, request.keep)
        twins = (*_twins(lake, rows, report, request), *report.facts[len(ids) :])
    if request.repair:
        report = without_alignment(report)
    else:
        kept = Kept(len(ids) if parent else 0, request.keep)
        report = judged_by_barriers(lake, report, len(ids), kept, twins)
    warnings = refuse(report, force, request.keep)
    everybody = twins or report.facts
    elder = everybody[-1] if parent else None
    return Order(request, plan, report, warnings, everybody[: len(ids)], elder, "weight" in rows.columns)


def _parent(lake: Lake, rows: pl.DataFrame, named: str | None, plan: Merge) -> str | None:
    """The parent that was named, or that lineage knows if the method needs one; it is none of the models."""
    ids: list[str] = rows["model_id"].to_list()
    if named is None:
        return _nearest_ancestor(lake, ids, plan.method.name) if "parent" in plan.method.needs else None
    epochs = rows["epoch"].to_list() if "epoch" in rows.columns else [None] * len(ids)
    if named_model(lake, named) in zip(ids, epochs, strict=True):
        raise UsageError(f"{named} is both an ingredient and the parent; leave it out of the query")
    return named


def _refuse_unread(report: Mergeability, kitchen: Kitchen, plan: Merge) -> None:
    """Raise UsageError for what is impossible by what is known without reading a weight."""
    if report.verdict == IMPOSSIBLE:
        refuse(report, force=True)
    for facts in report.facts:
        if facts.stored is None:
            raise UsageError(f"the weights of {facts.name} cannot be read: {facts.absent}")
    kitchen.check(plan.method)


def _read_of(report: Mergeability, keep: Sequence[str]) -> Mergeability:
    """Add what only the values of the first model and the others tell."""
    first = [pair for pair in report.problems.between if pair[0] == 0]
    contents = differing_contents(report.facts, first, keep)
    return verdict_on(report.facts, report.problems.more({}, contents)) if contents else report


def _twins(lake: Lake, rows: pl.DataFrame, report: Mergeability, request: Request) -> tuple[Facts, ...]:
    """The facts of the models' aligned twins, and of the first one, which they are aligned with."""
    ids: list[str] = rows["model_id"].to_list()
    known = [facts.description for facts in report.facts[: len(ids)] if facts.description is not None]
    way = way_of(ids, known) if len(known) == len(ids) else None  # what is missing is said by whoever looks for it
    aligned = align_rows(lake, rows, by=request.align or WAYS[0], way=way)
    first: int | None = rows["epoch"][0] if "epoch" in rows.columns else None
    return tuple(gather_facts(lake, aligned.model_ids, [first, *[None] * (len(aligned.model_ids) - 1)], request.given))


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
    """The model that all come from, as lineage says: the one that the most of them come from directly.

    Where none is in the lake, checkpoint 0 of a run that started from the initial weights that all have in common.
    """
    facts = gather_facts(lake, ids, [None] * len(ids))
    shared = frozenset.intersection(*(each.ancestors - {each.model_id} for each in facts)) - set(ids)
    known = lake.sql(KNOWN, ids=ids, shared=sorted(shared)).get_column("model_id").to_list()
    starts = frozenset.intersection(*(each.starts for each in facts))
    known += [f"{run}@0" for run in lake.sql(BEGUN, ids=ids, starts=sorted(starts)).get_column("model_id")]
    if not known:
        raise UsageError(
            f"{method} needs the model that the ingredients were fine-tuned from, and lineage knows of none that is in "
            "this lake, nor of weights that all started from; name it with parent (--parent), a checkpoint as "
            "model_id@epoch"
        )
    return str(known[0])


BEGUN = """
SELECT model_id FROM checkpoint JOIN lineage ON child_id = model_id AND relation = 'initialised-from'
WHERE epoch = 0 AND NOT final AND parent_id IN (SELECT unnest($starts))
ORDER BY model_id NOT IN (SELECT unnest($ids)), model_id LIMIT 1
"""
"""A run whose checkpoint 0 is the weights that all started from."""
KNOWN = """
SELECT model_id FROM model LEFT JOIN lineage ON parent_id = model_id AND child_id IN (SELECT unnest($ids))
WHERE model_id IN (SELECT unnest($shared)) GROUP BY model_id ORDER BY count(child_id) DESC, model_id
"""
