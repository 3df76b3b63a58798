"""Largest eigenvalues and traces from one Lanczos run: its space is what the trace's probes need not see."""

from torch import Tensor

from learners.landscape.curvature.eigenvalues import STEPS, Extremes, extremes_of, is_known
from learners.landscape.curvature.lanczos import Operator, lanczos
from learners.landscape.curvature.probes import gaussian
from learners.landscape.curvature.trace import Trace, deflated

PROBES = 100


def eigenvalues_and_trace(
    operator: Operator,
    like: Tensor,
    count: int = 1,
    eigenvalue_tolerance: float = 1e-3,
    trace_tolerance: float = 0.05,
    steps: int = STEPS,
    probes: int = PROBES,
    seed: int = 0,
) -> tuple[Extremes, Trace]:
    """Find the largest eigenvalues, and estimate the trace with what that has cost already.

    The smallest eigenvalue is not waited for, since it takes several times the steps: what is said of it is what there
    was to see on the way, see `smallest_known`.

    Lanczos has found the directions of large eigenvalues, in which almost all of the variance of Hutchinson's estimator
    lies; on their space the trace is that of the tridiagonal matrix. So probes are needed for the rest only, as in
    Hutch++ with a Krylov space for its sketch (Chen and Hallman, 2023, "Krylov-aware stochastic trace estimation").

    Args:
        operator: Products of N symmetric matrices.
        like: A tensor `[N, P]` of their shape, type and device.
        count: How many of the largest eigenvalues.
        eigenvalue_tolerance: Their relative error, see `known`.
        trace_tolerance: Standard error of the trace, as a share of it, see `hutchinson`.
        steps: Lanczos steps at most.
        probes: Probes at most.
        seed: Of start vectors and probes.
    """
    start = gaussian(like, 1, seed)[:, 0]
    found = lanczos(operator, start, steps, lambda krylov: is_known(krylov, count, eigenvalue_tolerance, False))
    inside = found.diagonal.double()
    taken = found.basis.shape[1]
    trace = deflated(operator, like, found.basis, inside, taken, probes, trace_tolerance, seed)
    return extremes_of(found, count, eigenvalue_tolerance), trace
