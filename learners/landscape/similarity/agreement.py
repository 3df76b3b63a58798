"""How often models say something else, and how far their probabilities are apart, for all pairs."""

from math import sqrt

import torch
from torch import Tensor


def disagreement(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Share of samples on which two models predict different classes, `[N, N]`, and its standard error.

    A model with outputs that are no finite numbers predicts nothing: NaN.

    Args:
        logits: `[N, n, classes]`, on the same samples.
    """
    predicted = logits.argmax(dim=2)
    share = torch.stack([(predicted != one).double().mean(dim=1) for one in predicted])
    broken = ~logits.isfinite().all(dim=(1, 2))
    share = share.masked_fill(broken | broken.unsqueeze(1), torch.nan)
    return share, (share * (1 - share) / logits.shape[1]).sqrt()


def jensen_shannon(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Mean Jensen-Shannon divergence of two models' probabilities (0 to ln 2), `[N, N]`, and its standard error.

    Args:
        logits: `[N, n, classes]`, on the same samples.

    Source:
        Lin 1991, "Divergence measures based on the Shannon entropy".
    """
    probabilities = logits.double().softmax(dim=2)
    own = _entropy(probabilities)
    rows, errors = [], []
    for one, entropy in zip(probabilities, own, strict=True):
        each = (_entropy((probabilities + one) / 2) - (own + entropy) / 2).clamp_min(0)
        rows.append(each.mean(dim=1))
        errors.append(each.std(dim=1) / sqrt(each.shape[1]))
    return torch.stack(rows), torch.stack(errors)


def _entropy(probabilities: Tensor) -> Tensor:
    return -torch.xlogy(probabilities, probabilities).sum(dim=-1)
