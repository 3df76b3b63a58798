"""Spectral densities of many Hessians by stochastic Lanczos quadrature."""

from dataclasses import dataclass
from math import pi, sqrt

import torch
from torch import Tensor

from learners.landscape.curvature.lanczos import Operator, eigen, lanczos
from learners.landscape.curvature.probes import gaussian
from learners.landscape.student import widening

PROBES = 5
STEPS = 40


@dataclass(frozen=True)
class Density:
    """Each spectrum as points with weights: the mean of f over the eigenvalues is about the weighted sum of f.

    Attributes:
        nodes: `[N, probes, m]`, float64.
        weights: `[N, probes, m]`, float64, adding up to one for each probe.
    """

    nodes: Tensor
    weights: Tensor

    def mean(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """The mean over the eigenvalues of a function that has `values` at the nodes, and its standard error, `[N]`."""
        each = (values * self.weights).sum(dim=2)
        return each.mean(dim=1), _error(each)

    def smooth(self, at: Tensor, deviation: float | Tensor) -> tuple[Tensor, Tensor]:
        """The density at places `[N, g]` when each eigenvalue is a bell, and its standard error, `[N, g]`.

        `deviation` is the bells' standard deviation, one for all or `[N, 1, 1, 1]`.
        """
        offset = (at[:, None, None, :] - self.nodes.unsqueeze(3)) / deviation
        bells = torch.exp(-(offset**2) / 2) / (deviation * sqrt(2 * pi))
        each = (bells * self.weights.unsqueeze(3)).sum(dim=2)
        return each.mean(dim=1), _error(each)


def _error(each: Tensor) -> Tensor:
    """Standard error of the mean over probes `[N, probes, ...]`, widened by what Student's t asks of so few."""
    count = each.shape[1]
    if count < 2:
        return torch.full_like(each[:, 0], torch.nan)
    error: Tensor = each.std(dim=1) / sqrt(count) * widening(count)
    return error


def spectral_density(
    operator: Operator, like: Tensor, probes: int = PROBES, steps: int = STEPS, seed: int = 0
) -> Density:
    """Estimate each spectrum from Lanczos runs that start at random vectors.

    Args:
        operator: Products of N symmetric matrices.
        like: A tensor `[N, P]` of their shape, type and device.
        probes: Runs.
        steps: Products of a run.
        seed: Of the start vectors.

    Source:
        Lin, Saad and Yang 2016, "Approximating spectral densities of large matrices"; Ghorbani, Krishnan and Xiao
        2019, "An investigation into neural net optimization via Hessian eigenvalue density".
    """
    nodes, weights = [], []
    for start in gaussian(like, probes, seed).unbind(dim=1):
        values, vectors = eigen(lanczos(operator, start, steps).tridiagonal)
        nodes.append(values)
        weights.append(vectors[:, 0] ** 2)
    return Density(torch.stack(nodes, dim=1), torch.stack(weights, dim=1))
