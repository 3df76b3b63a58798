"""Curvature of the training loss on drawn samples: ends of spectra, traces, densities; whole and layer by layer."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import hypot, isfinite, nan

import torch
from torch import Tensor

from learners.landscape.curvature.batches import batches
from learners.landscape.curvature.both import eigenvalues_and_trace
from learners.landscape.curvature.criteria import extreme_ratio, negative_share
from learners.landscape.curvature.density import Density, spectral_density
from learners.landscape.curvature.eigenvalues import Extremes, extreme_eigenvalues
from learners.landscape.curvature.probes import rademacher
from learners.landscape.curvature.products import HessianProducts
from learners.landscape.curvature.sampling import drawing_error, piecewise_forms
from learners.landscape.curvature.trace import Trace, hutch_plus_plus, hutchinson
from learners.landscape.measuring.differentiable import differentiable
from learners.landscape.measuring.group import Columns, Found, Group, found
from learners.landscape.measuring.metrics import Settings
from schemas import UsageError

BELL = 1 / 40
"""Standard deviation of a density's bells, as a share of the spectrum's range."""
BEYOND = 4
"""By how many of them the places reach beyond it."""

PROBED = 4
"""Random vectors by which pieces of the samples tell how far their traces are apart."""

Detail = dict[str, object]
Block = Callable[[Group, Settings, Sequence[str], Detail], Columns]
"""Measures the block of the Hessian that belongs to some parameters."""


@differentiable
def curvature(group: Group, settings: Settings) -> Columns:
    """The largest eigenvalue of the Hessian and its trace, from one Lanczos run."""
    return _top_and_trace(group, settings, group.parameter_names, {})


@differentiable
def ends(group: Group, settings: Settings) -> Columns:
    """The smallest eigenvalue, and its size over that of the largest one."""
    return _ends(group, settings, group.parameter_names, {})


def layers(group: Group, settings: Settings) -> Columns:
    """`curvature` for the block of the Hessian that belongs to each layer."""
    return _by_layer(_top_and_trace, ("hessian_trace", "hessian_top_eigenvalue"), group, settings)


def layer_ends(group: Group, settings: Settings) -> Columns:
    """The smallest eigenvalue of each layer's block."""
    return _by_layer(_ends, ("hessian_smallest_eigenvalue",), group, settings)


def _by_layer(measure: Block, names: Sequence[str], group: Group, settings: Settings) -> Columns:
    """Rows of each layer, or the reason why it has none, such as that it is held in a network that a caller gave."""
    columns: Columns = {f"layer_{name}": [[] for _ in group.names] for name in names}
    for layer, parameters in group.layers.items():
        detail: Detail = {"layer": layer}
        try:
            found_here = differentiable(measure)(group, settings, parameters, detail)
        except UsageError as error:
            found_here = {name: [[Found(None, reason=str(error), detail=detail)]] * len(group.names) for name in names}
        for name in names:
            for row, more in zip(columns[f"layer_{name}"], found_here[name], strict=True):
                row.extend(more)
    return columns


@differentiable
def eigenvalues(group: Group, settings: Settings) -> Columns:
    """The largest eigenvalues by rank, each with how far it may be from one at most."""
    rows: list[list[Found]] = []
    for products, like in _products(group, settings, group.parameter_names):
        extremes = extreme_eigenvalues(
            products,
            like,
            count=int(settings["count"]),
            steps=int(settings["steps"]),
            tolerance=float(settings["eigenvalue_tolerance"]),
            seed=group.seed,
            smallest=False,
        )
        ranks, drawn = range(extremes.top.shape[1]), _drawn(group, products, extremes.vectors)
        ranked = [_tops(extremes, rank, drawn, {"rank": rank + 1}) for rank in ranks]
        rows += [[row for each in of_model for row in each] for of_model in zip(*ranked, strict=True)]
    return {"hessian_eigenvalue": rows}


@differentiable
def traces(group: Group, settings: Settings) -> Columns:
    """The trace by the two published estimators, each stopped at the requested error."""
    columns: Columns = {"hessian_trace_hutchinson": [], "hessian_trace_hutch_plus_plus": []}
    probes, tolerance = int(settings["probes"]), float(settings["trace_tolerance"])
    for products, like in _products(group, settings, group.parameter_names):
        drawn = _drawn(group, products, rademacher(like, PROBED, group.seed))
        plain = hutchinson(products, like, probes, tolerance, group.seed)
        better = hutch_plus_plus(products, like, probes, int(settings["sketch"]), tolerance, group.seed)
        for name, trace in zip(columns, (plain, better), strict=True):
            columns[name] += _traces(trace, drawn, {})
    return columns


@differentiable
def densities(group: Group, settings: Settings) -> Columns:
    """The share of the negative in the spectrum, and the smoothed density at places from end to end."""
    columns: Columns = {"negative_share": [], "spectral_density": []}
    for products, like in _products(group, settings, group.parameter_names):
        density = spectral_density(products, like, int(settings["probes"]), int(settings["steps"]), group.seed)
        count, probes = len(products.samples), int(settings["probes"])
        columns["negative_share"] += _each(*negative_share(density), count, probes)
        columns["spectral_density"] += _smoothed(density, int(settings["points"]), count, probes)
    return columns


def _smoothed(density: Density, points: int, samples: int, probes: int) -> list[list[Found]]:
    """A row a place for each model; one with the reason where its spectrum is not known."""
    places, bells = _places(density, points)
    rows = []
    for bell, *each in zip(
        bells.tolist(), places.tolist(), *density.smooth(places, bells.view(-1, 1, 1, 1)), strict=True
    ):
        told = zip(*each, strict=True) if isfinite(bell) else ()
        row = [found(value, error, samples, probes, eigenvalue=place, bell=bell) for place, value, error in told]
        rows.append(row or [found(nan, None, samples, probes)])
    return rows


def _places(density: Density, points: int) -> tuple[Tensor, Tensor]:
    """Places `[N, points]` between which all of a density and zero lie, and its bells' standard deviation `[N]`."""
    nodes = density.nodes.flatten(1)
    low, high = nodes.min(dim=1).values.clamp_max(0), nodes.max(dim=1).values.clamp_min(0)
    bell = (high - low) * BELL
    share = torch.linspace(0, 1, points, dtype=nodes.dtype, device=nodes.device)
    first, last = low - BEYOND * bell, high + BEYOND * bell
    return first.unsqueeze(1) + (last - first).unsqueeze(1) * share, bell


def _products(group: Group, settings: Settings, names: Sequence[str]) -> Iterator[tuple[HessianProducts, Tensor]]:
    """Products with the Hessians of so many members as go at once, and a tensor of their shape."""
    samples = group.drawn(int(settings["samples"]))
    cut = batches(group.subset([0]).loss_sum(), group.weights, samples, names)
    for begin in range(0, len(group.names), cut.members):
        part = group.subset(range(begin, min(begin + cut.members, len(group.names))))
        products = HessianProducts(
            part.loss_sum(), part.weights, samples, names, samples_at_once=cut.samples, keep=cut.keep
        )
        yield products, products.like.new_zeros(products.size, products.dimension)


def _top_and_trace(group: Group, settings: Settings, names: Sequence[str], detail: Detail) -> Columns:
    columns: Columns = {"hessian_trace": [], "hessian_top_eigenvalue": []}
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
        vectors = torch.cat([extremes.vectors[:, :1], rademacher(like, PROBED, group.seed)], dim=1)
        drawn = _drawn(group, products, vectors)
        columns["hessian_trace"] += _traces(trace, drawn.only(slice(1, None)), detail)
        columns["hessian_top_eigenvalue"] += _tops(extremes, 0, drawn, detail)
    return columns


def _ends(group: Group, settings: Settings, names: Sequence[str], detail: Detail) -> Columns:
    columns: Columns = {"hessian_smallest_eigenvalue": [], "extreme_ratio": []}
    for products, like in _products(group, settings, names):
        tolerance = float(settings["eigenvalue_tolerance"])
        extremes = extreme_eigenvalues(
            products, like, steps=int(settings["steps"]), tolerance=tolerance, seed=group.seed
        )
        vectors = torch.stack([extremes.vectors[:, 0], extremes.smallest_vector], dim=1)
        drawn = _drawn(group, products, vectors)
        columns["hessian_smallest_eigenvalue"] += _judged(
            extremes.smallest,
            extremes.smallest_bound,
            drawn.error(drawn.forms[:, :, 1]),
            extremes.smallest_known,
            extremes.steps,
            drawn.samples,
            detail,
        )
        ratio, top = extreme_ratio(extremes), extremes.top[:, 0]
        negative = (extremes.smallest < 0).double()
        each = drawn.error(drawn.forms[:, :, 1]) * negative, drawn.error(drawn.forms[:, :, 0]) * ratio
        error = torch.hypot(*each) / top  # as if the ends moved by themselves: where they move together it is smaller
        bound = (negative * extremes.smallest_bound + ratio * extremes.top_bound[:, 0]) / top
        known = extremes.smallest_known & extremes.top_known[:, 0]
        columns["extreme_ratio"] += _judged(ratio, bound, error, known, extremes.steps, drawn.samples, detail)
    return columns


@dataclass(frozen=True)
class _Drawn:
    """What pieces of the drawn samples say of some vectors, see `piecewise_forms`; nothing where all were drawn."""

    forms: Tensor
    samples: int
    population: int

    def only(self, chosen: slice) -> "_Drawn":
        return replace(self, forms=self.forms[:, :, chosen])

    def error(self, each: Tensor) -> Tensor:
        """What drawing the samples does to a figure that each piece has, `[pieces, N]` to `[N]`."""
        return drawing_error(each, self.samples, self.population)


def _drawn(group: Group, products: HessianProducts, vectors: Tensor) -> _Drawn:
    samples, population = len(products.samples), len(group.dataset.train)
    if samples >= population:
        return _Drawn(torch.zeros(2, *vectors.shape[:2]).to(vectors.device), samples, population)
    return _Drawn(piecewise_forms(products, vectors), samples, population)


def _traces(trace: Trace, drawn: _Drawn, detail: Detail) -> list[list[Found]]:
    """Traces with what probes and drawn samples do to them, the latter in the settings, too."""
    values, errors = trace.value.tolist(), trace.standard_error.tolist()
    sampled = drawn.error(drawn.forms.mean(dim=2)).tolist()
    rows = zip(values, errors, sampled, strict=True)
    return [
        [found(value, hypot(error, more), drawn.samples, trace.probes, **detail, **_told(more))]
        for value, error, more in rows
    ]


def _told(sampled: float) -> Detail:
    return {"sampling_error": sampled} if isfinite(sampled) and sampled > 0 else {}


def _tops(extremes: Extremes, rank: int, drawn: _Drawn, detail: Detail) -> list[list[Found]]:
    """The largest eigenvalue of a rank from 0, of each model."""
    top, bound, known = (part[:, rank] for part in (extremes.top, extremes.top_bound, extremes.top_known))
    error = drawn.error(drawn.forms[:, :, rank])
    return _judged(top, bound, error, known, extremes.steps, drawn.samples, detail)


def _judged(
    values: Tensor, bounds: Tensor, errors: Tensor, known: Tensor, steps: int, samples: int, detail: Detail
) -> list[list[Found]]:
    """Values that Lanczos knows as well as was asked for; of the others what it has found, in the reason.

    Their error is how far they are from an eigenvalue at most, and what drawing the samples does.
    """
    rows = []
    for value, bound, sampled, sure in zip(*(t.tolist() for t in (values, bounds, errors, known)), strict=True):
        more = {**detail, **({"bound": bound} if isfinite(bound) else {}), **_told(sampled)}
        row = found(value, hypot(bound, sampled), samples, steps, **more)
        if row.reason is None and not sure:
            reason = f"after {steps} Lanczos steps it is not known to eigenvalue_tolerance; set more steps"
            row = Found(None, None, samples, steps, reason, {**more, "reached": value})
        rows.append([row])
    return rows


def _each(values: Tensor, errors: Tensor, samples: int, probes: int, **detail: object) -> list[list[Found]]:
    return [[found(value, error, samples, probes, **detail)] for value, error in zip(values, errors, strict=True)]
