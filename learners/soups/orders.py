"""What a merge was asked for, checked against what is known of the models before a weight is merged."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl
import torch

from learners.soups.alignment.align import WAYS, align_rows
from learners.soups.check.connected import judged_by_barriers
from learners.soups.check.contents import differing_contents
from learners.soups.check.facts import Facts, gather_facts
from learners.soups.check.mergeability import assess, refuse
from learners.soups.check.problems import IMPOSSIBLE
from learners.soups.check.verdicts import Mergeability, verdict_on
from learners.soups.merging import Merge, prepare
from learners.soups.methods import method_named
from learners.soups.registering import name_of
from learners.soups.sequence import in_order
from schemas import Lake, UsageError

FOLDER = "made/merge"
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

    def __post_init__(self) -> None:
        if self.precision not in ("float32", "float64"):
            raise UsageError(f"precision = {self.precision!r}: merges are computed in float32 or float64")
        if self.dtype is not None and self.dtype not in DTYPES:
            raise UsageError(f"dtype = {self.dtype!r}: choose one of: {', '.join(DTYPES)}")
        if self.align is not None and self.align not in WAYS:
            raise UsageError(f"align = {self.align!r}: choose one of: {', '.join(WAYS)}")
        needs = method_named(self.method).needs
        if (self.align or self.repair) and ("parent" in needs or self.parent):
            raise UsageError(
                f"align and repair are for means of networks; {self.method} starts from a parent, whose fine-tunes have"
                " their units in one order"
            )

    def treatment(self) -> dict[str, Any]:
        """What is done to the models before and to the mean after, where anything is."""
        return ({"align": self.align} if self.align else {}) | ({"repair": True} if self.repair else {})


@dataclass(frozen=True)
class Order:
    """What was asked for, with everything that is known of it before a weight is read."""

    request: Request
    plan: Merge
    report: Mergeability
    warnings: tuple[str, ...]
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
            **request.treatment(),
        }

    @property
    def name(self) -> str:
        """The merged model's name."""
        identity = self.settings() | {"sql": None, "commits": [facts.sha for facts in self.report.facts]}
        return name_of(self.request.method, identity)

    def folder(self, lake: Lake) -> Path:
        """Where the repository goes."""
        return self.request.to or lake.weights.folder / FOLDER / self.name


def order(lake: Lake, request: Request, settings: Mapping[str, Any], force: bool) -> Order:
    """Check what was asked for, and refuse it if it cannot or should not be; errors as in `merge`."""
    rows = in_order(lake, request.sql, method_named(request.method), settings)
    ids: list[str] = rows["model_id"].to_list()
    dtype = DTYPES[request.precision]
    plan = prepare(request.method, len(ids), seed=request.seed, dtype=dtype, **_weighted(rows, settings))
    parent = request.parent
    if parent is None and "parent" in plan.method.needs:
        parent = _nearest_ancestor(lake, ids, plan.method.name)
    if parent in ids:
        raise UsageError(f"{parent} is both an ingredient and the parent; leave it out of the query")
    report = assess(lake, rows, parent=parent, keep=request.keep, whole=True, aligned=request.align is not None)
    absent = next((facts for facts in report.facts if facts.stored is None), None)
    if absent is not None and report.verdict != IMPOSSIBLE:
        raise UsageError(f"the weights of {absent.model_id} cannot be read: {absent.absent}")
    if report.verdict != IMPOSSIBLE:
        first = [pair for pair in report.problems.between if pair[0] == 0]
        contents = differing_contents(report.facts, first, request.keep)
        report = verdict_on(report.facts, report.problems.more({}, contents)) if contents else report
    if request.align is None and not request.keep:
        report = judged_by_barriers(lake, report)
    warnings = refuse(report, force)
    if request.align is not None and len(ids) > 1:
        report = replace(report, facts=_twins(lake, rows, request.align))
    elder = report.facts[-1] if parent else None
    return Order(request, plan, report, warnings, report.facts[: len(ids)], elder)


def _twins(lake: Lake, rows: pl.DataFrame, by: str) -> tuple[Facts, ...]:
    """The facts of the models' aligned twins, and of the first one, which they are aligned with."""
    aligned = align_rows(lake, rows, by=by)
    first: int | None = rows["epoch"][0] if "epoch" in rows.columns else None
    return tuple(gather_facts(lake, aligned.model_ids, [first, *[None] * (len(aligned.model_ids) - 1)]))


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
