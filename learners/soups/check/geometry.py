"""How models lie in weight space: distances, and cosines of weights and task vectors, read piece by piece."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from learners.soups.files.mapped import mapped, spans
from learners.soups.files.stored import Stored

PIECE = 1 << 18
"""Most values of a model that are in memory at a time."""
PIECES = 1 << 21
"""Most values of all of them."""
FEW = 64
"""Values that tell of most tensors that they are not equal."""
SAMPLED = 1 << 22
"""Values in which two models differ that are read to tell whether they started alike."""


@dataclass(frozen=True)
class Geometry:
    """Inner products of N models, float64.

    Attributes:
        weights: `[N, N]` of the values of matrices that differ (vectors such as biases and scales left out).
        squares: `[N, N]` of the first one's same values with themselves.
        task_vectors: `[N, N]` of all values less those of the reference.
        sums: `[N]` of all values.
        origins: By matrix the number of the first model that has the same values, `[N]`, int64.
    """

    weights: Tensor
    squares: Tensor
    task_vectors: Tensor
    sums: Tensor
    origins: Mapping[str, Tensor]

    def weight_cosine(self, first: int, second: int) -> float:
        """Cosine of two models' matrices that differ; near 1 for fine-tunes of one, near 0 for what started apart.

        Matrices that are equal in both are left out, as one part that both took from elsewhere would hide that the
        rest has nothing in common; 1 where all are equal.
        """
        if self.origins and not self.differing(first, second):
            return 1.0
        return float(self.weights[first, second] / (self.squares[first, second] * self.squares[second, first]).sqrt())

    def differing(self, first: int, second: int) -> list[str]:
        """Names of the matrices in which two models differ."""
        return [name for name, found in self.origins.items() if found[first] != found[second]]

    def task_cosine(self, first: int, second: int) -> float:
        """Cosine of two task vectors; NaN where one of them is zero."""
        gram = self.task_vectors
        return float(gram[first, second] / (gram[first, first] * gram[second, second]).sqrt())

    def distance(self, first: int, second: int) -> float:
        """Euclidean distance of two models."""
        gram = self.task_vectors
        return float((gram[first, first] + gram[second, second] - 2 * gram[first, second]).clamp(min=0).sqrt())

    def finite(self, model: int) -> bool:
        """Whether all values of a model are finite."""
        return bool(self.sums[model].isfinite())


def geometry(
    models: Sequence[Mapping[str, Stored]], reference: Mapping[str, Stored], values: int | None = None
) -> Geometry:
    """Read models once, a piece of all of them at a time: the more models, the smaller the piece.

    Args:
        models: Places of tensors; those that are not of one shape in all of them are left out.
        reference: The parent, or one of the models: task vectors are differences from it.
        values: Read until all pairs of models differ in matrices of so many values; the largest tensors go first.
    """
    count = len(models)
    weights, squares, task_vectors = (torch.zeros(count, count, dtype=torch.float64) for _ in range(3))
    sums, told = torch.zeros(count, dtype=torch.float64), torch.eye(count, dtype=torch.int64) * (values or 0)
    origins: dict[str, Tensor] = {}
    piece = max(1, min(PIECE, PIECES // count))
    for name, stored in sorted(reference.items(), key=lambda item: -item[1].values):
        if values is not None and bool((told >= values).all()):
            break
        alike = all(name in model and model[name].shape == stored.shape for model in models)
        if not alike or not stored.torch_dtype.is_floating_point:
            continue
        gram, classes = torch.zeros_like(weights), [0] * count
        for begin, end in spans(stored.values, piece):
            rows = torch.stack([mapped(model[name], begin, end).double() for model in models])
            sums += rows.sum(dim=1)
            if len(stored.shape) > 1:
                gram += rows @ rows.T
                classes = _classes(rows, classes)
            rows -= mapped(stored, begin, end).double()
            task_vectors += rows @ rows.T
        if len(stored.shape) > 1:
            origins[name] = torch.tensor(classes)
            differ = origins[name][:, None] != origins[name]
            weights += torch.where(differ, gram, 0)
            squares += torch.where(differ, gram.diagonal()[:, None], 0)
            told += differ * stored.values
    return Geometry(weights, squares, task_vectors, sums, origins)


def _classes(rows: Tensor, before: Sequence[int]) -> list[int]:
    """For each of `[N, n]` the first row that equals it, among those that did so before."""
    if len(set(before)) == len(before):
        return list(before)
    found: list[int] = []
    for index, row in enumerate(rows):
        alike = (other for other in sorted(set(found)) if before[other] == before[index] and _equal(rows[other], row))
        found.append(next(alike, index))
    return found


def _equal(first: Tensor, second: Tensor) -> bool:
    return torch.equal(first[:FEW], second[:FEW]) and torch.equal(first, second)
