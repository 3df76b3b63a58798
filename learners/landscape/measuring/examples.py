"""Scores of the training examples, averaged over all selected models that share their data."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256

import polars as pl
import torch
from torch import Tensor

from learners.landscape.example_scores import el2n, grand
from learners.landscape.measuring.differentiable import differentiable, of_a_caller
from learners.landscape.measuring.group import Group
from learners.landscape.measuring.metrics import Metric
from learners.landscape.measuring.recording import Recorder
from learners.landscape.measuring.selected import Chosen, built, loaded, unloadable
from schemas import DataError, UsageError
from zoo.datasets import Dataset


@differentiable
def _pull(group: Group) -> Tensor:
    return grand(group.module, group.weights, group.parameter_names, group.dataset.train)


SCORES: dict[str, Callable[[Group], Tensor]] = {
    "el2n": lambda group: el2n(group.module, group.weights, group.dataset.train),
    "grand": _pull,
}
KNOWN = """
SELECT count(*) FROM example_measurement
WHERE selection = $selection AND metric = $metric AND settings->>'$.landscape' = $mark AND value IS NOT NULL
"""
POPULATIONS = "SELECT DISTINCT population_id FROM member WHERE model_id IN (SELECT unnest($ids))"
COUNTED = "SELECT count(*) FROM member WHERE model_id IN (SELECT unnest($ids))"


@dataclass
class _Sums:
    """Sums over models of the scores of each example, and of their squares."""

    models: list[str] = field(default_factory=list)
    total: Tensor = field(default_factory=lambda: torch.zeros(1, dtype=torch.float64))
    squares: Tensor = field(default_factory=lambda: torch.zeros(1, dtype=torch.float64))
    reasons: list[str] = field(default_factory=list)

    def add(self, group: Group, scores: Tensor) -> None:
        scores = scores.cpu()
        finite = torch.isfinite(scores).all(dim=1)
        self.models += [name for name, counts in zip(group.names, finite.tolist(), strict=True) if counts]
        self.total = self.total + scores[finite].sum(dim=0)
        self.squares = self.squares + (scores[finite] ** 2).sum(dim=0)
        if not finite.all():
            self.reasons.append("a model that has diverged has no score and was left out")

    def mean(self) -> Tensor:
        return self.total / len(self.models)

    def error(self) -> Tensor:
        count = len(self.models)
        if count < 2:
            return torch.full_like(self.total, torch.nan)
        variance = (self.squares - self.total**2 / count).clamp_min(0) / (count - 1)
        return (variance / count).sqrt()


def measure_examples(
    recorder: Recorder, chosen: Sequence[Chosen], metric: Metric, device: str = "cpu"
) -> tuple[int, int, int]:
    """Score the training examples with their true labels, once for each dataset that selected models share.

    Models that diverged, or whose weights cannot be had, are left out.

    Returns:
        Examples measured now, known before, and without a value.
    """
    together: dict[tuple[str, int, str], list[Chosen]] = {}
    unknown: list[Chosen] = []
    for group in chosen:
        try:
            data = built(recorder.lake, group.origin)[1]
            together.setdefault((data.name, data.split_seed, data.sha256), []).append(group)
        except (UsageError, DataError):
            unknown.append(group)
    counts = [
        _measured(recorder, groups, metric, device) for groups in (*together.values(), *([unknown] if unknown else []))
    ]
    first, second, third = (sum(count[part] for count in counts) for part in range(3))
    return first, second, third


def _measured(recorder: Recorder, chosen: Sequence[Chosen], metric: Metric, device: str) -> tuple[int, int, int]:
    ids = sorted(model_id for group in chosen for model_id in group.ids)
    what = [" ".join(filter(None, (model_id, recorder.contents.get(model_id)))) for model_id in ids]
    selection = sha256("\n".join(what).encode()).hexdigest()
    known = recorder.lake.sql(KNOWN, selection=selection, metric=metric.name, mark=recorder.mark(metric)).item()
    if known:
        return 0, int(known), 0
    sums, data = _summed(recorder, chosen, metric, device)
    rows = _rows(sums, data, metric)
    if data is None or not sums.models:
        reason = sums.reasons[0] if sums.reasons else "no model has weights that could be read"
        rows = pl.DataFrame([{"example": None, "value": None, "standard_error": None, "reason": reason}])
    _write(recorder, rows, metric, selection, ids, sums, data)
    return (len(rows), 0, 0) if sums.models else (0, 0, 1)


def _summed(recorder: Recorder, chosen: Sequence[Chosen], metric: Metric, device: str) -> tuple[_Sums, Dataset | None]:
    sums, data = _Sums(), None
    epoch = int(metric.settings["epoch"])
    for group in chosen:
        without = unloadable(recorder.lake, group, group.ids)
        sums.reasons += without.values()
        ids = [model_id for model_id in group.ids if model_id not in without]
        if not ids:
            continue
        try:
            found = loaded(recorder.lake, group, ids, recorder.seed, device, None if epoch < 0 else epoch)
        except (UsageError, DataError) as error:
            sums.reasons.append(str(error))
            continue
        data = found.dataset
        reason = f"{metric.name} needs classes, and a physics-informed network has none"
        reason = reason if found.physical else found.unfit or ""
        if reason:
            sums.reasons.append(reason)
            continue
        for part in found.parts(len(data.train) * max(1, data.classes)):
            try:
                with of_a_caller(part.given):
                    scores = SCORES[metric.name](part)
                sums.add(part, scores)
            except UsageError as error:
                sums.reasons.append(str(error))
    return sums, data


def _rows(sums: _Sums, data: Dataset | None, metric: Metric) -> pl.DataFrame:
    if data is None or not sums.models:
        return pl.DataFrame()
    errors = sums.error()
    return pl.DataFrame(
        {
            "example": torch.arange(len(sums.total)).numpy(),
            "value": sums.mean().numpy(),
            "standard_error": pl.Series(errors.numpy()).fill_nan(None),
        }
    ).with_columns(reason=pl.lit(None, dtype=pl.String))


def _write(
    recorder: Recorder,
    rows: pl.DataFrame,
    metric: Metric,
    selection: str,
    ids: Sequence[str],
    sums: _Sums,
    data: Dataset | None,
) -> None:
    populations = recorder.lake.sql(POPULATIONS, ids=list(ids))["population_id"].to_list()
    whole = len(populations) == 1 and recorder.lake.sql(COUNTED, ids=list(ids)).item() == len(ids)
    settings = {**metric.settings, "left_out": len(ids) - len(sums.models), "landscape": recorder.mark(metric)}
    same: dict[str, object] = {
        "selection": selection,
        "population_id": populations[0] if whole else None,
        "models": len(sums.models),
        "dataset": data.name if data else None,
        "split_seed": data.split_seed if data else None,
        "split": metric.split,
        "metric": metric.name,
        "settings": json.dumps(settings),
        "measured_at": datetime.now(UTC),
    }
    table = rows.with_columns(pl.lit(value).alias(name) for name, value in same.items())
    with recorder.lake.write() as transaction:
        transaction.sql(
            "DELETE FROM example_measurement WHERE selection = $selection AND metric = $metric AND value IS NULL",
            selection=selection,
            metric=metric.name,
        )
        transaction.append("example_measurement", table)
