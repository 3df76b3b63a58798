"""Solves for the affine map that comes nearest: ridge regression by normal equations, aware of the rank."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from schemas.errors import UsageError

TOLERANCES = {torch.float64: 1e-7, torch.float32: 1e-6}
"""Smallest singular value that counts, relative to the largest, by the type that the samples were computed in.

Below it is rounding: that of float32 samples, or that of float64 normal equations, whose eigenvalues are squares.
"""
COARSE = 1e-3
"""The same for types of 16 bits."""


@dataclass(frozen=True)
class Regressors:
    """What the inputs of a least-squares problem come to, once for all targets that they are mapped to.

    Args of the problem: minimise the mean over samples of |W x + b - y|^2, plus ridge * |W|^2; b is not
    penalised. Directions in which the inputs do not vary get weight zero, so that among all solutions this is the
    one with the smallest W.
    """

    mean: Tensor
    """Mean of the inputs, `[..., d]`, float64."""
    scatter: Tensor
    """Their scatter, `[..., d, d]`, float64."""
    count: int
    """Samples."""
    ridge: float = 0.0
    """Penalty, relative to one sample: scikit-learn's `Ridge(alpha=ridge * count)`."""
    tolerance: float = TOLERANCES[torch.float32]
    """Smallest singular value that counts, relative to the largest."""

    @cached_property
    def _inverse(self) -> tuple[Tensor, Tensor]:
        if not bool(self.scatter.isfinite().all()):
            raise UsageError(
                "a joint cannot be fitted to values that are not finite: some sample or weight of the front is NaN or "
                "too large; leave it out"
            )
        values, vectors = torch.linalg.eigh(self.scatter)
        counts = (values > self.tolerance**2 * values[..., -1:]) & (values > 0)
        return torch.where(counts, 1 / (values + self.ridge * self.count), 0.0), vectors

    @property
    def rank(self) -> Tensor:
        """In how many directions the inputs vary, `[...]`."""
        return (self._inverse[0] > 0).sum(dim=-1)

    def onto(self, mean: Tensor, cross: Tensor) -> tuple[Tensor, Tensor]:
        """Solve for targets of mean `[..., e]` and cross scatter `[..., d, e]`: W `[..., e, d]` and b `[..., e]`."""
        inverse, vectors = self._inverse
        weight = (vectors @ (inverse.unsqueeze(-1) * (vectors.mT @ cross))).mT
        return weight, mean - (weight @ self.mean.unsqueeze(-1)).squeeze(-1)


def tolerance_of(dtype: torch.dtype) -> float:
    """Smallest singular value that counts for samples that were computed in a floating point type."""
    return TOLERANCES.get(dtype, COARSE)
