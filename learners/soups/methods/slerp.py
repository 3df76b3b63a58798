"""SLERP: two models are interpolated along the arc between them."""

import math
from collections.abc import Sequence
from typing import Annotated

import torch
from torch import Tensor

from learners.soups.methods.linear import weighted_sum
from learners.soups.methods.method import Setting, method
from learners.soups.methods.pieces import pieces

NEARLY_PARALLEL = 0.9995


@method(
    formula="θ = sin((1-t) Ω)/sin Ω θ₁ + sin(t Ω)/sin Ω θ₂,  cos Ω = θ₁·θ₂ / |θ₁||θ₂|",
    paper="Shoemake 1985, Animating rotation with quaternion curves",
    ordered=True,
    most=2,
)
def slerp(
    tensors: Sequence[Tensor], *, t: Annotated[float, Setting("how far from the first to the second", 0, 1)] = 0.5
) -> Tensor:
    """Interpolate between two tensors, taken as vectors, along the arc between them.

    Where they are zero or nearly parallel (|cos| above 0.9995), along the straight line.

    Example:
        >>> slerp([torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])])
        tensor([0.7071, 0.7071])
    """
    first, second = tensors
    lengths = [float(torch.linalg.vector_norm(tensor)) for tensor in (first, second)]
    cosine = 1.0
    if min(lengths) > 0:
        parts = ((one / lengths[0]) * (other / lengths[1]) for one, other in pieces(first, second))
        cosine = sum(float(part.sum()) for part in parts)
    if abs(cosine) > NEARLY_PARALLEL:
        return weighted_sum([first, second], [1 - t, t])
    angle = math.acos(cosine)
    shares = [math.sin((1 - t) * angle) / math.sin(angle), math.sin(t * angle) / math.sin(angle)]
    return weighted_sum([first, second], shares)
