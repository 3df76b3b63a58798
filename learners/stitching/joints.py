"""Joints between many fronts and many ends at once, fitted by least squares from sums that all pairs share."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise

import torch
from torch import Tensor
from torch.nn.functional import linear

from learners.stitching.form import Form, from_rows, laid_out, lay_out
from learners.stitching.least_squares import Regressors, tolerance_of
from learners.stitching.moments import Moments
from learners.stitching.network import Network
from learners.stitching.sites import Site
from schemas.errors import DataError

Activations = Mapping[int, Sequence[Tensor]]
"""For each network what there is at every cut."""


@dataclass(frozen=True)
class Alike:
    """Fronts of one site that end in the same form, and their joints to one end."""

    fronts: tuple[tuple[int, int], ...]
    """Network and cut of each."""
    source: Form
    weight: Tensor
    """`[fronts, outputs, inputs]`."""
    bias: Tensor
    """`[fronts, outputs]`."""
    rank: tuple[int, ...]
    """For each front, in how many directions its values vary."""

    def join(self, activations: Activations, target: Form) -> Tensor:
        """What the end begins with, front after front: `[fronts * n, ...]`."""
        values = torch.stack([activations[front][cut] for front, cut in self.fronts])
        inputs = lay_out(values.flatten(0, 1), self.source, target)
        if len(self.fronts) == 1:
            return from_rows(linear(inputs, self.weight[0], self.bias[0]), target)
        rows = inputs.reshape(len(self.fronts), -1, inputs.shape[-1])
        outputs = torch.baddbmm(self.bias.unsqueeze(1), rows, self.weight.mT)
        return from_rows(outputs.reshape(*inputs.shape[:2], -1), target)


@dataclass(frozen=True)
class Joints:
    """Networks, and between them the joints from every front to every end of some sites."""

    networks: Sequence[Network]
    forms: Sequence[Sequence[Form]]
    """For each network the form at each cut."""
    sites: Sequence[Site]
    table: Mapping[tuple[int, int], Sequence[Alike]]
    """The joints, by the number of the site and the end."""

    @property
    def fronts(self) -> list[int]:
        """The networks whose fronts are joined."""
        return sorted({front for site in self.sites for front, _ in site.fronts})

    def onto(self, ends: Sequence[int]) -> "Joints":
        """Those joints that lead to some of the ends."""
        return replace(self, table={key: alike for key, alike in self.table.items() if key[1] in ends})


def fit_joints(
    networks: Sequence[Network],
    forms: Sequence[Sequence[Form]],
    places: Sequence[Site],
    batches: Iterable[Tensor],
    ridge: float = 0.0,
) -> Joints:
    """Fit the joints of all sites in one pass over the samples; each network runs once a batch.

    At a site the values of all its networks stand side by side in one matrix, whose scatter holds the normal equations
    of every pair. See `scatter_bytes` for how large it becomes.

    Args:
        networks: The networks.
        forms: For each network the form at each cut.
        places: The sites.
        batches: Samples to fit on.
        ridge: See `learners.stitching.least_squares.Regressors`.

    Raises:
        DataError: Some network's values at a cut are not finite, so that nothing can be joined to them.
    """
    columns = [_columns(site, forms) for site in places]
    moments: list[Moments] = []
    with torch.no_grad():
        for x in batches:
            activations = {number: networks[number].activations(x) for number in involved(places)}
            moments = moments or [Moments(_width(widths), x.device) for widths in columns]
            for site, widths, sums in zip(places, columns, moments, strict=True):
                laid = [lay_out(activations[n][cut], forms[n][cut], site.layout) for n, cut in widths]
                sums.add(torch.cat(laid, dim=2).flatten(0, 1))
                _check_finite(networks, site, widths, sums)
            dtype = activations[places[0].ends[0]][0].dtype
        table: dict[tuple[int, int], list[Alike]] = {}
        for number, (site, widths, sums) in enumerate(zip(places, columns, moments, strict=True)):
            table |= {(number, end): joints for end, joints in _solved(site, forms, widths, sums, ridge, dtype)}
    return Joints(networks, forms, places, table)


def involved(places: Sequence[Site]) -> list[int]:
    """The networks that meet at some sites."""
    ends = {end for site in places for end in site.ends}
    return sorted(ends | {front for site in places for front, _ in site.fronts})


def scatter_bytes(places: Sequence[Site], forms: Sequence[Sequence[Form]]) -> int:
    """Bytes of the sums that `fit_joints` keeps, whatever the number of samples."""
    return sum(8 * _width(_columns(site, forms)) ** 2 for site in places)


def _columns(site: Site, forms: Sequence[Sequence[Form]]) -> dict[tuple[int, int], int]:
    """How many columns each network has at a site, as a front or as an end; one that is both has them once."""
    widths = {(front, cut): laid_out(forms[front][cut], site.layout) for front, cut in site.fronts}
    return widths | {(end, site.cut): forms[end][site.cut].channels for end in site.ends}


def _width(widths: Mapping[tuple[int, int], int]) -> int:
    return sum(widths.values())


def _check_finite(
    networks: Sequence[Network], site: Site, widths: Mapping[tuple[int, int], int], sums: Moments
) -> None:
    if not sums.mean.isfinite().all():
        parts = torch.split(sums.mean, list(widths.values()))
        number = next(n for (n, _), part in zip(widths, parts, strict=True) if not part.isfinite().all())
        raise DataError(f"{networks[number].name} has values at cut {site.cut} that are not finite; leave it out")


def _solved(
    site: Site,
    forms: Sequence[Sequence[Form]],
    widths: Mapping[tuple[int, int], int],
    sums: Moments,
    ridge: float,
    dtype: torch.dtype,
) -> Iterable[tuple[int, list[Alike]]]:
    """The joints of a site, end by end."""
    bounds = pairwise(accumulate(widths.values(), initial=0))
    place = {key: slice(*bound) for key, bound in zip(widths, bounds, strict=True)}
    alike: dict[Form, list[tuple[int, int]]] = {}
    for front, cut in site.fronts:
        alike.setdefault(forms[front][cut], []).append((front, cut))
    regressors = {
        form: Regressors(
            torch.stack([sums.mean[place[key]] for key in keys]),
            torch.stack([sums.scatter[place[key], place[key]] for key in keys]),
            sums.count,
            ridge,
            tolerance_of(dtype),
        )
        for form, keys in alike.items()
    }
    for end in site.ends:
        there, joints = place[end, site.cut], []
        for form, keys in alike.items():
            cross = torch.stack([sums.scatter[place[key], there] for key in keys])
            weight, bias = regressors[form].onto(sums.mean[there], cross)
            ranks = tuple(regressors[form].rank.tolist())
            joints.append(Alike(tuple(keys), form, weight.to(dtype), bias.to(dtype), ranks))
        yield end, joints
