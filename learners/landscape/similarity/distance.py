"""How far the weights of models are apart, for all pairs."""

import torch
from torch import Tensor


def l2_distance(weights: Tensor) -> Tensor:
    """Euclidean distance of all pairs of rows of `[N, P]`: `[N, N]`, float64."""
    return torch.cdist(weights.double(), weights.double(), compute_mode="donot_use_mm_for_euclid_dist")


def cosine_distance(weights: Tensor) -> Tensor:
    """1 - cosine of the angle between all pairs of rows of `[N, P]`: `[N, N]`, float64; NaN with a zero row."""
    norm = weights.double().norm(dim=1, keepdim=True)
    unit = weights.double() / torch.where(norm > 0, norm, torch.nan)
    return 1 - (unit @ unit.T).clamp(-1, 1)
