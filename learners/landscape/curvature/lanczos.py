"""Lanczos for many symmetric operators at once, each new vector orthogonalised against all before it, twice."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

LOOK = 4
"""Steps from one look at what was found to the next."""

Operator = Callable[[Tensor], Tensor]
"""Multiplies N symmetric matrices with a vector each: `[N, P]` in, `[N, P]` out."""


@dataclass(frozen=True)
class Krylov:
    """What m steps have found: H = Q T Q' on the space that Q spans, up to the residual.

    Attributes:
        basis: Q, orthonormal rows, `[N, m, P]`.
        diagonal: Of T, `[N, m]`.
        beside: Beside the diagonal of T, `[N, m - 1]`.
        residual: Norm of what the last step left over, `[N]`.
    """

    basis: Tensor
    diagonal: Tensor
    beside: Tensor
    residual: Tensor

    @property
    def tridiagonal(self) -> Tensor:
        """T, `[N, m, m]`, float64."""
        above: Tensor = torch.diag_embed(self.beside.double(), offset=1)
        matrix: Tensor = torch.diag_embed(self.diagonal.double()) + above + above.mT
        return matrix

    def before(self, steps: int) -> "Krylov | None":
        """What there was so many steps earlier; None where that is before the first one."""
        count = self.basis.shape[1] - steps
        if count < 1:
            return None
        return Krylov(
            self.basis[:, :count], self.diagonal[:, :count], self.beside[:, : count - 1], self.beside[:, count - 1]
        )

    def ritz(self) -> tuple[Tensor, Tensor]:
        """Ritz values, ascending, `[N, m]`, and the last entry of each one's vector in T's basis, `[N, m]`, float64."""
        values, vectors = eigen(self.tridiagonal)
        return values, vectors[:, -1]

    def vectors(self) -> Tensor:
        """The Ritz vectors, ascending like the values, `[N, m, P]`."""
        _, vectors = eigen(self.tridiagonal)
        found: Tensor = vectors.mT.to(self.basis.dtype) @ self.basis
        return found

    def bounds(self) -> Tensor:
        """Distance of each Ritz value to some eigenvalue at most, `[N, m]`: the norm of its vector's residual."""
        _, last = self.ritz()
        return self.residual.double().unsqueeze(1) * last.abs()


def eigen(matrices: Tensor) -> tuple[Tensor, Tensor]:
    """As torch.linalg.eigh, `[N, m, m]` to `[N, m]` and `[N, m, m]`, and NaN for a matrix that is not finite.

    A diverged network among others has such a one, for which LAPACK would refuse them all.
    """
    finite = torch.isfinite(matrices).flatten(1).all(dim=1)
    values, vectors = torch.linalg.eigh(torch.where(finite[:, None, None], matrices, 0.0))
    return values.where(finite[:, None], torch.nan), vectors.where(finite[:, None, None], torch.nan)


def lanczos(operator: Operator, start: Tensor, steps: int, done: Callable[[Krylov], bool] | None = None) -> Krylov:
    """Run Lanczos with full re-orthogonalisation for N operators at once.

    Args:
        operator: The products.
        start: A vector for each, `[N, P]`; not zero.
        steps: Products at most; more than P find nothing new.
        done: Is asked after every `LOOK` steps whether that is enough.

    Source:
        Golub and Van Loan, "Matrix Computations", chapter 10; Parlett, "The Symmetric Eigenvalue Problem", chapter 13.
    """
    steps = min(steps, start.shape[1])
    basis = start.new_empty(start.shape[0], steps, start.shape[1])  # what is not reached takes no memory
    diagonal, beside = start.new_zeros(len(start), steps), start.new_zeros(len(start), steps)
    vector = start / start.norm(dim=1, keepdim=True)
    for step in range(steps):
        basis[:, step] = vector
        image = operator(vector)
        diagonal[:, step] = (image * vector).sum(dim=1)
        rest = _orthogonal(image, basis[:, : step + 1])
        norm = rest.norm(dim=1)
        vector, beside[:, step] = _next(rest, norm, image, basis[:, : step + 1])
        last = step + 1 == steps
        if last or (done is not None and step % LOOK == LOOK - 1):
            found = Krylov(basis[:, : step + 1], diagonal[:, : step + 1], beside[:, :step], beside[:, step])
            if last or (done is not None and done(found)):
                return found
    raise AssertionError("the loop ends with its last step")


def _orthogonal(vector: Tensor, basis: Tensor) -> Tensor:
    """Take out what lies in the space that the rows of `basis` span; twice is enough (Kahan and Parlett)."""
    for _ in range(2):
        vector = vector - ((basis @ vector.unsqueeze(2)).mT @ basis).squeeze(1)
    return vector


def _next(rest: Tensor, norm: Tensor, image: Tensor, basis: Tensor) -> tuple[Tensor, Tensor]:
    """The next vector and its weight; where a space is exhausted another vector from outside of it, and zero."""
    smallest = 100 * torch.finfo(rest.dtype).eps * image.norm(dim=1).clamp_min(torch.finfo(rest.dtype).tiny)
    exhausted = norm <= smallest
    if not exhausted.any() or basis.shape[1] == basis.shape[2]:
        norm = torch.where(exhausted, 0.0, norm)
        return rest / norm.clamp_min(torch.finfo(rest.dtype).tiny).unsqueeze(1), norm
    drawn = torch.randn(rest.shape[1], generator=torch.Generator().manual_seed(basis.shape[1]), dtype=torch.float64)
    other = _orthogonal(drawn.to(rest).expand_as(rest), basis)
    chosen = torch.where(exhausted.unsqueeze(1), other, rest)
    return chosen / chosen.norm(dim=1, keepdim=True), torch.where(exhausted, 0.0, norm)
