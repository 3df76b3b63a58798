"""Compares all soups of a selection on the test data and on corrupted test data, with confidence intervals."""

from collections.abc import Iterator, Mapping, Sequence

import polars as pl
import torch
from torch import Tensor, nn
from torch.func import functional_call

from learners.soups.alignment.tracing import permutations_of
from learners.soups.alignment.weight_matching import weight_matching
from learners.soups.average import average
from learners.soups.bootstrap import accuracy_interval, difference_interval
from learners.soups.data.batch_norm import has_statistics, reestimate
from learners.soups.data.corruptions import CORRUPTIONS, corrupted
from learners.soups.soup import greedy_soup, kitchen_for, learned_soup
from schemas import Lake
from zoo.load import load_weights
from zoo.population import Samples, Weights, evaluate, forward, member

SAMPLES_AT_ONCE = 512
BATCH_NORM_SAMPLES = 5000
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

    Greedy and learned soups become models of the lake. The best single model is the one with the highest validation
    accuracy. Aligned is the mean after weight matching with that one. Batch-norm statistics of means are estimated
    anew.

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
    kitchen = kitchen_for(lake, sql, force)
    dataset, module, population = kitchen.dataset, kitchen.module, kitchen.population.tensors
    conditions = {"clean": dataset.test}
    conditions |= {kind: corrupted(dataset.test, kind, severity) for kind in corruptions}
    scores = evaluate(module, population, dataset.validation)
    best = min(range(len(kitchen.population)), key=lambda i: (-scores.accuracy[i], scores.loss[i], i))
    candidates = {
        BEST: member(population, best),
        "uniform": average(population),
        "greedy": load_weights(lake, greedy_soup(lake, sql, force=force).model_id),
        "learned": load_weights(lake, learned_soup(lake, sql, force=force).model_id),
        "aligned": _aligned(module, population, best, dataset.train.x[:1]),
    }
    if has_statistics(population):
        few = Samples(dataset.train.x[:BATCH_NORM_SAMPLES], dataset.train.y[:BATCH_NORM_SAMPLES])
        anew = {name: reestimate(module, weights, few) for name, weights in candidates.items() if name != BEST}
        candidates |= anew
    right = {name: _correct(module, weights, conditions) for name, weights in candidates.items()}
    right["ensemble"] = {name: _voted(module, population, samples) for name, samples in conditions.items()}
    return pl.DataFrame(list(_rows(right, list(corruptions))))


def _aligned(module: nn.Module, population: Weights, best: int, x: Tensor) -> Weights:
    specification = permutations_of(module, x)
    reference = member(population, best)
    moved = []
    for index in range(len(next(iter(population.values())))):
        weights = member(population, index)
        found = weight_matching(specification, reference, weights, seeds=1)
        moved.append(specification.permute(weights, found.permutations))
    return average({name: torch.stack([weights[name] for weights in moved]) for name in population})


def _correct(module: nn.Module, weights: Mapping[str, Tensor], conditions: Mapping[str, Samples]) -> dict[str, Tensor]:
    return {name: _right(module, weights, samples) for name, samples in conditions.items()}


@torch.no_grad()
def _right(module: nn.Module, weights: Mapping[str, Tensor], samples: Samples) -> Tensor:
    parts = torch.split(samples.x, SAMPLES_AT_ONCE)
    logits = torch.cat([functional_call(module, dict(weights), (x,)) for x in parts])
    return logits.argmax(dim=1) == samples.y


@torch.no_grad()
def _voted(module: nn.Module, population: Weights, samples: Samples) -> Tensor:
    at_once = max(1, SAMPLES_AT_ONCE // len(next(iter(population.values()))))
    parts = [forward(module, population, x).mean(dim=0) for x in torch.split(samples.x, at_once)]
    return torch.cat(parts).argmax(dim=1) == samples.y


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
