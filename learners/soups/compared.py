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
from learners.soups.average import average
from learners.soups.bootstrap import accuracy_interval, difference_interval
from learners.soups.data.corruptions import CORRUPTIONS, corrupted
from learners.soups.pot import Manner, Pot, pot_for
from learners.soups.soup import greedy_soup, learned_soup, uniform_soup
from schemas import Lake
from zoo.load import load_weights
from zoo.population import Samples, Weights, evaluate, stack

SAMPLES_AT_ONCE = 512
SEVERITY = 3
BEST = "best single"


def compare_soups(
    lake: Lake,
    sql: str,
    *,
    corruptions: Sequence[str] = tuple(CORRUPTIONS),
    severity: int = SEVERITY,
    force: bool = False,
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
        force: Compare even what should not be averaged.

    Returns:
        A row per candidate and condition (clean, each corruption, and corrupted: all of them): accuracy with its 95 %
        interval low to high, and gain over the best single model with its interval, by the bootstrap over samples.

    Raises:
        UsageError: As `uniform_soup`, or a corruption cannot be.
    """
    pot = pot_for(lake, sql, Manner(repair=True), force=force)
    conditions = {"clean": pot.dataset.test}
    conditions |= {kind: corrupted(pot.dataset.test, kind, severity) for kind in corruptions}
    scores = evaluate(pot.module, pot.population.tensors, pot.dataset.validation)
    best = min(range(len(pot.population)), key=lambda i: (-scores.accuracy[i], scores.loss[i], i))
    made = {
        name: cook(lake, sql, force=force).model_id
        for name, cook in (("uniform", uniform_soup), ("greedy", greedy_soup), ("learned", learned_soup))
    }
    candidates = {BEST: pot.population.member(best), **{name: load_weights(lake, made[name]) for name in made}}
    candidates |= _aligned(pot, best)
    right = {name: _correct(pot.module, weights, conditions) for name, weights in candidates.items()}
    right["ensemble"] = {name: _voted(pot, samples) for name, samples in conditions.items()}
    frame = pl.DataFrame(list(_rows(right, list(corruptions))))
    _store(pot, frame, made | {BEST: pot.names([best])[0]}, {"corruptions": list(corruptions), "severity": severity})
    return frame


def _store(pot: Pot, frame: pl.DataFrame, made: Mapping[str, str], settings: Mapping[str, object]) -> None:
    """Write the rows in place of those that the same comparison may have left."""
    rows = pot.population.rows
    models = sorted(rows.select("model_id", *({"epoch"} & set(rows.columns))).rows(), key=str)
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
    reference = pot.population.member(best)
    moved = []
    for index in range(len(pot.population)):
        weights = pot.population.member(index)
        found = weight_matching(specification, reference, weights, seeds=1)
        moved.append(specification.permute(weights, found.permutations))
    twins = replace(pot, population=replace(pot.population, tensors=stack(moved)))
    everybody = range(len(moved))
    if pot.has_statistics:
        return {"aligned": twins.average_of(everybody)}
    return {"aligned": average(stack(moved)), "aligned and repaired": twins.average_of(everybody)}


def _correct(module: nn.Module, weights: Mapping[str, Tensor], conditions: Mapping[str, Samples]) -> dict[str, Tensor]:
    return {name: _right(module, weights, samples) for name, samples in conditions.items()}


@torch.no_grad()
def _right(module: nn.Module, weights: Mapping[str, Tensor], samples: Samples) -> Tensor:
    parts = torch.split(samples.x, SAMPLES_AT_ONCE)
    logits = torch.cat([functional_call(module, dict(weights), (x,)) for x in parts])
    return logits.argmax(dim=1) == samples.y


@torch.no_grad()
def _voted(pot: Pot, samples: Samples) -> Tensor:
    """Whether the members' mean logits are right, one member after the other: stacked convolutions are slower."""
    members = [pot.population.member(index) for index in range(len(pot.population))]
    parts = [
        torch.stack([functional_call(pot.module, member, (x,)) for member in members]).mean(dim=0).argmax(dim=1)
        for x in torch.split(samples.x, SAMPLES_AT_ONCE)
    ]
    return torch.cat(parts) == samples.y


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
                "samples": len(correct),
            }


def _with_all(conditions: Mapping[str, Tensor], corruptions: Sequence[str]) -> dict[str, Tensor]:
    if not corruptions:
        return dict(conditions)
    return {**conditions, "corrupted": torch.cat([conditions[kind] for kind in corruptions])}
