"""Curvature of the training loss on drawn samples: ends of spectra, traces, densities; whole and layer by layer."""

from collections.abc import Callable, Iterator, Sequence
from functools import wraps

import torch
from torch import Tensor

from learners.landscape.curvature.batches import batches
from learners.landscape.curvature.both import eigenvalues_and_trace
from learners.landscape.curvature.criteria import extreme_ratio, negative_share
from learners.landscape.curvature.density import spectral_density
from learners.landscape.curvature.eigenvalues import Extremes, extreme_eigenvalues
from learners.landscape.curvature.loss import cross_entropy_sum
from learners.landscape.curvature.products import HessianProducts
from learners.landscape.curvature.trace import Trace, hutch_plus_plus, hutchinson
from learners.landscape.measuring.group import Columns, Found, Group, found
from learners.landscape.measuring.metrics import Settings
from schemas import UsageError

UNDIFFERENTIABLE = ("does not require grad", "is not implemented", "not differentiable", "not have been used")
WIDER = 1.1
"""How much wider than the nodes the grid of a density is."""
BELL = 1 / 40
"""Standard deviation of a density's bells, as a share of the grid."""

Family = Callable[[Group, Settings], Columns]


def twice_differentiable(family: Family) -> Family:
    """Turn torch's refusal to differentiate into a reason."""

    @wraps(family)
    def guarded(group: Group, settings: Settings) -> Columns:
        try:
            return family(group, settings)
        except RuntimeError as error:
            if any(words in str(error) for words in UNDIFFERENTIABLE):
                raise UsageError(f"the loss cannot be differentiated twice: {' '.join(str(error).split())}") from error
            raise

    return guarded


@twice_differentiable
def curvature(group: Group, settings: Settings) -> Columns:
    """Ends of the Hessian's spectrum and its trace, from one Lanczos run."""
    return _both(group, settings, group.parameter_names, "", {})


@twice_differentiable
def layers(group: Group, settings: Settings) -> Columns:
    """The same for the block of the Hessian that belongs to each layer."""
    columns: Columns = {}
    for layer, names in group.layers.items():
        found_here = _both(group, settings, names, "layer_", {"layer": layer})
        for name, values in found_here.items():
            rows = columns.setdefault(name, [[] for _ in group.names])
            for row, more in zip(rows, values, strict=True):
                row.extend(more)
    return columns


@twice_differentiable
def eigenvalues(group: Group, settings: Settings) -> Columns:
    """The largest eigenvalues by rank, each with how far it may be from one at most."""
    rows: list[list[Found]] = []
    for products, like in _products(group, settings, group.parameter_names):
        ends = extreme_eigenvalues(
            products,
            like,
            count=int(settings["count"]),
            steps=int(settings["steps"]),
            tolerance=float(settings["eigenvalue_tolerance"]),
            seed=group.seed,
        )
        for top, bounds in zip(ends.top, ends.top_bound, strict=True):
            ranked = enumerate(zip(top, bounds, strict=True), start=1)
            rows.append(
                [
                    found(value, None, len(products.samples), ends.steps, rank=rank, bound=float(bound))
                    for rank, (value, bound) in ranked
                ]
            )
    return {"hessian_eigenvalue": rows}


@twice_differentiable
def traces(group: Group, settings: Settings) -> Columns:
    """The trace by the two published estimators, each stopped at the requested error."""
    columns: Columns = {"hessian_trace_hutchinson": [], "hessian_trace_hutch_plus_plus": []}
    probes, tolerance = int(settings["probes"]), float(settings["trace_tolerance"])
    for products, like in _products(group, settings, group.parameter_names):
        plain = hutchinson(products, like, probes, tolerance, group.seed)
        better = hutch_plus_plus(products, like, probes, int(settings["sketch"]), tolerance, group.seed)
        for name, trace in zip(columns, (plain, better), strict=True):
            columns[name] += _each(trace.value, trace.standard_error, len(products.samples), trace.probes)
    return columns


@twice_differentiable
def densities(group: Group, settings: Settings) -> Columns:
    """The share of the negative in the spectrum, and the smoothed density at places from end to end."""
    columns: Columns = {"negative_share": [], "spectral_density": []}
    for products, like in _products(group, settings, group.parameter_names):
        density = spectral_density(products, like, int(settings["probes"]), int(settings["steps"]), group.seed)
        count = len(products.samples)
        columns["negative_share"] += _each(*negative_share(density), count, int(settings["probes"]))
        ends = density.nodes.flatten(1)
        low, high = ends.min(dim=1).values * WIDER, ends.max(dim=1).values * WIDER
        share = torch.linspace(0, 1, int(settings["points"]), dtype=torch.float64)
        places = low.clamp_max(0).unsqueeze(1) + (high - low.clamp_max(0)).unsqueeze(1) * share
        width = (places[:, -1] - places[:, 0]).view(-1, 1, 1, 1) * BELL
        values, errors = density.smooth(places, width)
        for member, here in enumerate(places):
            columns["spectral_density"].append(
                [
                    found(value, error, count, int(settings["probes"]), eigenvalue=float(place))
                    for value, error, place in zip(values[member], errors[member], here, strict=True)
                ]
            )
    return columns


def _products(group: Group, settings: Settings, names: Sequence[str]) -> Iterator[tuple[HessianProducts, Tensor]]:
    """Products with the Hessians of so many members as go at once, and a tensor of their shape."""
    samples = group.drawn(int(settings["samples"]))
    loss_sum = cross_entropy_sum(group.module)
    cut = batches(loss_sum, group.weights, samples, names)
    for begin in range(0, len(group.names), cut.members):
        part = {name: tensor[begin : begin + cut.members] for name, tensor in group.weights.items()}
        products = HessianProducts(loss_sum, part, samples, names, samples_at_once=cut.samples, keep=cut.keep)
        yield products, torch.zeros(products.size, products.dimension, dtype=products.like.dtype)


def _both(group: Group, settings: Settings, names: Sequence[str], prefix: str, detail: dict[str, object]) -> Columns:
    columns: Columns = {}
    for products, like in _products(group, settings, names):
        extremes, trace = eigenvalues_and_trace(
            products,
            like,
            eigenvalue_tolerance=float(settings["eigenvalue_tolerance"]),
            trace_tolerance=float(settings["trace_tolerance"]),
            steps=int(settings["steps"]),
            probes=int(settings["probes"]),
            seed=group.seed,
        )
        for name, values in _columns(extremes, trace, len(products.samples), detail).items():
            columns.setdefault(f"{prefix}{name}" if name != "extreme_ratio" else name, []).extend(values)
    if prefix:
        del columns["extreme_ratio"]
    return columns


def _columns(extremes: Extremes, trace: Trace, samples: int, detail: dict[str, object]) -> Columns:
    def bounded(values: Tensor, bounds: Tensor) -> list[list[Found]]:
        both = zip(values, bounds, strict=True)
        return [[found(value, None, samples, extremes.steps, bound=float(bound), **detail)] for value, bound in both]

    return {
        "hessian_trace": _each(trace.value, trace.standard_error, samples, trace.probes, **detail),
        "hessian_top_eigenvalue": bounded(extremes.top[:, 0], extremes.top_bound[:, 0]),
        "hessian_smallest_eigenvalue": bounded(extremes.smallest, extremes.smallest_bound),
        "extreme_ratio": _each(
            extreme_ratio(extremes), torch.full_like(extremes.smallest, torch.nan), samples, extremes.steps, **detail
        ),
    }


def _each(values: Tensor, errors: Tensor, samples: int, probes: int, **detail: object) -> list[list[Found]]:
    return [[found(value, error, samples, probes, **detail)] for value, error in zip(values, errors, strict=True)]
