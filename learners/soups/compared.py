"""Compares all soups of a selection on the test data and on corrupted test data, with confidence intervals."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256

import polars as pl
import torch
from torch import Tensor, nn
from torch.func import functional_call

from learners.soups.alignment.tracing import permutations_of
from learners.soups.alignment.weight_matching import weight_matching
from learners.soups.average import mean_of
from learners.soups.bootstrap import accuracy_interval, difference_interval
from learners.soups.check.described import Given
from learners.soups.comparison import judge
from learners.soups.data.corruptions import CORRUPTIONS, corrupted
from learners.soups.members import Changed, single
from learners.soups.pot import Manner, Pot, manner_of, pot_for
from learners.soups.soup import greedy_of, learned_of, uniform_of
from schemas import Lake, UsageError
from zoo.load import load_weights
from zoo.population import Samples, Weights

SAMPLES_AT_ONCE = 512
SEVERITY = 3
BEST = "best single"


def compare_soups(
    lake: Lake,
    sql: str,
    *,
    corruptions: Sequence[str] = tuple(CORRUPTIONS),
    severity: int = SEVERITY,
    samples: int | None = None,
    force: bool = False,
    description: Given = (),
) -> pl.DataFrame:
    """Compare best single model, uniform, greedy, learned and aligned soup, and ensemble, clean and corrupted.

    Uniform, greedy and learned soups become models of the lake, and the rows become rows of `soup_comparison`. The best
    single model is the one with the highest validation accuracy. Aligned is the mean after weight matching with that
    one; aligned and repaired has the ingredients' moments as well. Batch-norm statistics of means are estimated anew,
    which does what REPAIR does.

    Args:
        lake: Where the models are.
        sql: Any query that returns `model_id` (and `epoch`), of classifiers of images.
        corruptions: Names in `learners.soups.data.corruptions.CORRUPTIONS`.
        severity: Of the corruptions, from 1 to 5.
        samples: How many samples of validation and of test count; all without it.
        force: Compare even what should not be averaged.
        description: How models are built of which the lake does not know it; as in `uniform_soup`.

    Returns:
        A row per candidate and condition (clean, each corruption, and corrupted: all of them): accuracy with its 95 %
        interval low to high, and gain over the best single model with its interval, by the bootstrap over samples.

    Raises:
        UsageError: As `uniform_soup`, or a corruption cannot be.
    """
    if samples is not None and samples < 2:
        raise UsageError(f"samples = {samples}: expected at least 2")
    pot = pot_for(lake, sql, manner_of(samples=samples, description=description), force=force)
    conditions = {"clean": pot.dataset.test}
    conditions |= {kind: corrupted(pot.dataset.test, kind, severity) for kind in corruptions}
    best = pot.best_first[0]
    made = {
        name: cook(pot).model_id
        for name, cook in (("uniform", uniform_of), ("greedy", greedy_of), ("learned", learned_of))
    }
    candidates = {BEST: pot.members[best], **{name: single(load_weights(lake, made[name])) for name in made}}
    candidates |= _aligned(pot, best)
    right = {name: _correct(pot.module, weights, conditions) for name, weights in candidates.items()}
    right["ensemble"] = {"clean": pot.judged["test"].together}
    right["ensemble"] |= {kind: judge(pot.module, pot.members, conditions[kind]).together for kind in corruptions}
    frame = pl.DataFrame(list(_rows(right, list(corruptions))))
    settings = {"corruptions": list(corruptions), "severity": severity, "samples": samples, **pot.manner.settings()}
    _store(pot, frame, made | {BEST: pot.names([best])[0]}, settings)
    return frame


def _store(pot: Pot, frame: pl.DataFrame, made: Mapping[str, str], settings: Mapping[str, object]) -> None:
    """Write the rows in place of those that the same comparison may have left."""
    rows = pot.rows
    named = rows.select("model_id", *({"epoch"} & set(rows.columns))).rows()
    models = sorted(zip(named, pot.contents, strict=True), key=str)
    identity = json.dumps([models, pot.dataset.sha256, settings])
    written = frame.with_columns(
        comparison_id=pl.lit(sha256(identity.encode()).hexdigest()[:16]),
        sql=pl.lit(pot.sql),
        models=pl.lit(len(rows)),
        severity=pl.when(pl.col("condition") != "clean").then(pl.lit(settings["severity"])),
        model_id=pl.col("candidate").replace_strict(made, default=None, return_dtype=pl.String),
        compared_at=pl.lit(datetime.now(UTC)),
    )
    with pot.lake.write() as transaction:
        transaction.replace("soup_comparison", written, key="comparison_id")


def _aligned(pot: Pot, best: int) -> dict[str, Weights]:
    """Means of the models after weight matching with the best one."""
    specification = permutations_of(pot.module, pot.dataset.train.x[:1])
    reference = pot.members[best]
    found = [weight_matching(specification, reference, weights, seeds=1).permutations for weights in pot.members]
    moved = Changed(pot.members, lambda index, weights: specification.permute(weights, found[index]))
    twins = replace(pot, manner=Manner(repair=True), members=moved)
    everybody = range(len(twins))
    if pot.has_statistics:
        return {"aligned": twins.average_of(everybody)}
    return {"aligned": mean_of(twins.members), "aligned and repaired": twins.average_of(everybody)}


def _correct(module: nn.Module, weights: Mapping[str, Tensor], conditions: Mapping[str, Samples]) -> dict[str, Tensor]:
    return {name: _right(module, weights, samples) for name, samples in conditions.items()}


@torch.no_grad()
def _right(module: nn.Module, weights: Mapping[str, Tensor], samples: Samples) -> Tensor:
    parts = torch.split(samples.x, SAMPLES_AT_ONCE)
    logits = torch.cat([functional_call(module, dict(weights), (x,)) for x in parts])
    return logits.argmax(dim=1) == samples.y


def _rows(right: Mapping[str, Mapping[str, Tensor]], corruptions: Sequence[str]) -> Iterator[dict[str, object]]:
    for candidate, conditions in right.items():
        for condition, correct in _with_all(conditions, corruptions).items():
            accuracy = accuracy_interval(correct)
            gain = difference_interval(correct, _with_all(right[BEST], corruptions)[condition])
            yield {
                "candidate": candidate,
                "condition": condition,
                "accuracy": accuracy.value,
                "low": accuracy.low,
                "high": accuracy.high,
                "gain": gain.value,
                "gain_low": gain.low,
                "gain_high": gain.high,
                "samples": correct.shape[-1],
            }


def _with_all(conditions: Mapping[str, Tensor], corruptions: Sequence[str]) -> dict[str, Tensor]:
    if not corruptions:
        return dict(conditions)
    return {**conditions, "corrupted": torch.stack([conditions[kind] for kind in corruptions])}
