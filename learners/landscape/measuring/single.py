"""Metrics of one model each, for all models of a group at once."""

import torch
from torch import Tensor

from learners.landscape.curvature.batches import batches
from learners.landscape.curvature.both import eigenvalues_and_trace
from learners.landscape.curvature.eigenvalues import Extremes
from learners.landscape.curvature.loss import cross_entropy_sum
from learners.landscape.curvature.products import HessianProducts
from learners.landscape.curvature.trace import Trace
from learners.landscape.measuring.group import HESSIAN_SAMPLES, Found, Group, found
from learners.landscape.measuring.metrics import HESSIAN

PER_CENT = 100.0

Columns = dict[str, list[Found]]
"""By metric what was found for each model of a group."""


def scored(group: Group) -> Columns:
    """Training loss in nats and training error in percentage points."""
    scores = group.scores["train"]
    error = 1 - scores.accuracy
    spread = (error * (1 - error) / scores.samples).sqrt()
    return {
        "loss": [found(loss, None, scores.samples) for loss in scores.loss],
        "error": [
            found(PER_CENT * value, PER_CENT * deviation, scores.samples)
            for value, deviation in zip(error, spread, strict=True)
        ],
    }


def gaps(group: Group) -> Columns:
    """Test error minus training error, in percentage points."""
    train, test = group.scores["train"], group.scores["test"]
    gap = PER_CENT * (train.accuracy - test.accuracy)
    shares = [(score.accuracy * (1 - score.accuracy) / score.samples) for score in (train, test)]
    spread = PER_CENT * (shares[0] + shares[1]).sqrt()
    values = zip(gap, spread, strict=True)
    return {"generalisation_gap": [found(value, error, test.samples) for value, error in values]}


def curvature(group: Group) -> Columns:
    """Ends of the Hessian's spectrum and its trace, of the mean training loss on drawn samples."""
    samples = group.drawn(HESSIAN_SAMPLES)
    loss_sum = cross_entropy_sum(group.module)
    cut = batches(loss_sum, group.weights, samples, group.parameter_names)
    columns: Columns = {}
    for begin in range(0, len(group.names), cut.members):
        part = {name: tensor[begin : begin + cut.members] for name, tensor in group.weights.items()}
        products = HessianProducts(
            loss_sum, part, samples, group.parameter_names, samples_at_once=cut.samples, keep=cut.keep
        )
        like = torch.zeros(products.size, products.dimension, dtype=products.like.dtype)
        extremes, trace = eigenvalues_and_trace(
            products,
            like,
            eigenvalue_tolerance=HESSIAN["eigenvalue_tolerance"],
            trace_tolerance=HESSIAN["trace_tolerance"],
            steps=int(HESSIAN["steps"]),
            probes=int(HESSIAN["probes"]),
            seed=group.seed,
        )
        for name, values in _columns(extremes, trace, len(samples)).items():
            columns.setdefault(name, []).extend(values)
    return columns


def _columns(extremes: Extremes, trace: Trace, samples: int) -> Columns:
    top, smallest = extremes.top[:, 0], extremes.smallest
    ratio = (-smallest).clamp_min(0) / top

    def each(values: Tensor, errors: Tensor | None, probes: int) -> list[Found]:
        spread = errors if errors is not None else torch.full_like(values, torch.nan)
        return [found(value, error, samples, probes) for value, error in zip(values, spread, strict=True)]

    return {
        "hessian_trace": each(trace.value, trace.standard_error, trace.probes),
        "hessian_top_eigenvalue": each(top, None, extremes.steps),
        "hessian_smallest_eigenvalue": each(smallest, None, extremes.steps),
        "extreme_ratio": each(ratio, None, extremes.steps),
    }
