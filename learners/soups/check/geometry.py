"""How models lie in weight space: distances, and cosines of weights and task vectors, read piece by piece."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from learners.soups.files.mapped import mapped, spans
from learners.soups.files.stored import Stored

PIECE = 1 << 18
"""Most values of a model that are in memory at a time."""
PIECES = 1 << 21
"""Most values of all of them."""
SAMPLED = 1 << 22
"""Values of each model that are read to tell whether models started alike."""


@dataclass(frozen=True)
class Geometry:
    """Inner products of N models, float64.

    Attributes:
        weights: `[N, N]` of the matrices' values (vectors such as biases and scales left out).
        task_vectors: `[N, N]` of all values less those of the reference.
    """

    weights: Tensor
    task_vectors: Tensor

    def weight_cosine(self, first: int, second: int) -> float:
        """Cosine of two models' matrices; near 1 for fine-tunes of one model, near 0 for what started apart."""
        return _cosine(self.weights, first, second)

    def task_cosine(self, first: int, second: int) -> float:
        """Cosine of two task vectors; NaN where one of them is zero."""
        return _cosine(self.task_vectors, first, second)

    def distance(self, first: int, second: int) -> float:
        """Euclidean distance of two models."""
        gram = self.task_vectors
        return float((gram[first, first] + gram[second, second] - 2 * gram[first, second]).clamp(min=0).sqrt())

    def finite(self, model: int) -> bool:
        """Whether all values of a model are finite."""
        return bool(self.task_vectors[model, model].isfinite())


def _cosine(gram: Tensor, first: int, second: int) -> float:
    return float(gram[first, second] / (gram[first, first] * gram[second, second]).sqrt())


def geometry(
    models: Sequence[Mapping[str, Stored]], reference: Mapping[str, Stored], values: int | None = None
) -> Geometry:
    """Read models once, a piece of all of them at a time: the more models, the smaller the piece.

    Args:
        models: Places of tensors; those that are not of one shape in all of them are left out.
        reference: The parent, or one of the models: task vectors are differences from it.
        values: Read about so many values of each model only; the largest tensors go first.
    """
    weights = torch.zeros(len(models), len(models), dtype=torch.float64)
    task_vectors = torch.zeros_like(weights)
    for name in _chosen(reference, values):
        stored = reference[name]
        alike = all(name in model and model[name].shape == stored.shape for model in models)
        if not alike or not stored.torch_dtype.is_floating_point:
            continue
        for begin, end in spans(stored.values, max(1, min(PIECE, PIECES // len(models)))):
            rows = torch.stack([mapped(model[name], begin, end).double() for model in models])
            if len(stored.shape) > 1:
                weights += rows @ rows.T
            rows -= mapped(stored, begin, end).double()
            task_vectors += rows @ rows.T
    return Geometry(weights, task_vectors)


def _chosen(reference: Mapping[str, Stored], values: int | None) -> Iterator[str]:
    left = values
    for name, tensor in sorted(reference.items(), key=lambda item: -item[1].values):
        if left is not None:
            if left <= 0:
                return
            left -= tensor.values
        yield name
