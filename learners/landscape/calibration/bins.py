"""Expected calibration errors of many models at once, by binned confidences."""

from dataclasses import dataclass
from math import pi, sqrt

import torch
from torch import Tensor

BINS = 15


@dataclass(frozen=True)
class Binned:
    """Confidences and hits, gathered in bins; float64.

    Attributes:
        share: Of the samples in each bin, `[N, bins]`, adding up to one.
        confidence: Mean probability of the predicted class there, `[N, bins]`; 0 in empty bins.
        accuracy: Share of right predictions there, `[N, bins]`.
        count: Samples in each bin, `[N, bins]`.
    """

    share: Tensor
    confidence: Tensor
    accuracy: Tensor
    count: Tensor

    @property
    def gap(self) -> Tensor:
        """Confidence minus accuracy of each bin, `[N, bins]`."""
        return self.confidence - self.accuracy

    def expected_error(self) -> Tensor:
        """The mean of |confidence - accuracy| over the samples, `[N]`.

        Source:
            Naeini, Cooper and Hauskrecht 2015, "Obtaining well calibrated probabilities using Bayesian binning"; Guo et
            al. 2017, "On calibration of modern neural networks", eq. (3).
        """
        return (self.share * self.gap.abs()).sum(dim=1)

    def debiased_error(self) -> Tensor:
        """`expected_error` without what chance alone gives to it, `[N]`; may be below 0.

        The accuracies of bins are taken as normally distributed around what was seen, and the mean of |gap| under that
        (of a folded normal distribution) minus |gap| is the bias. That takes away what chance adds to real gaps; of a
        calibrated model's error 2 - sqrt(2) are left, because its gaps are chance themselves. `squared_error` has no
        bias.

        Source:
            Kumar, Liang and Ma 2019, "Verified uncertainty calibration", whose code draws these normal values.
        """
        deviation = (self.accuracy * (1 - self.accuracy) / self.count.clamp_min(1)).sqrt()
        safe = deviation.clamp_min(torch.finfo(deviation.dtype).tiny)
        ratio = self.gap / safe
        folded = deviation * sqrt(2 / pi) * torch.exp(-(ratio**2) / 2) + self.gap * torch.erf(ratio / sqrt(2))
        bias = torch.where(deviation > 0, folded - self.gap.abs(), 0.0)
        return self.expected_error() - (self.share * bias).sum(dim=1)

    def squared_error(self) -> Tensor:
        """The mean of (confidence - accuracy)^2 over the samples without bias, `[N]`.

        Bins of one sample have no such estimate and count nothing.

        Source:
            Kumar, Liang and Ma 2019, "Verified uncertainty calibration", definition 5.1.
        """
        noise = self.accuracy * (1 - self.accuracy) / (self.count - 1).clamp_min(1)
        return (self.share * torch.where(self.count > 1, self.gap**2 - noise, 0.0)).sum(dim=1)


def equal_width(confidence: Tensor, bins: int = BINS) -> Tensor:
    """The bin of each confidence when bins are ((k - 1) / bins, k / bins], int64 like `confidence`."""
    edges = torch.linspace(0, 1, bins + 1, dtype=confidence.dtype, device=confidence.device)[1:-1]
    return torch.bucketize(confidence.contiguous(), edges)


def equal_mass(confidence: Tensor, bins: int = BINS) -> Tensor:
    """The bin of each confidence when bins have the same number of samples, by rank along the last axis, int64.

    Equal confidences are in one bin, that of the middle of their ranks, so that bins do not hang on the order of
    samples, and are of unequal mass where many are equal.
    """
    ordered = confidence.sort(dim=-1).values.contiguous()
    first, behind = (torch.searchsorted(ordered, confidence.contiguous(), right=right) for right in (False, True))
    return (first + behind - 1) * bins // (2 * confidence.shape[-1])


def binned(confidence: Tensor, right: Tensor, chosen: Tensor, bins: int = BINS, weight: Tensor | None = None) -> Binned:
    """Gather samples in bins.

    Args:
        confidence: `[N, n]`, float64.
        right: Whether each prediction is right, `[N, n]`, float64.
        chosen: The bin of each, `[N, n]`.
        bins: Their number.
        weight: How often each sample counts, `[N, n]`; without it once.
    """
    once = torch.ones_like(confidence) if weight is None else weight

    def summed(values: Tensor) -> Tensor:
        zero = torch.zeros(len(confidence), bins, dtype=confidence.dtype, device=confidence.device)
        return zero.scatter_add(1, chosen, values)

    count = summed(once)
    least = count.clamp_min(torch.finfo(count.dtype).tiny)
    share = count / count.sum(dim=1, keepdim=True)
    return Binned(share, summed(once * confidence) / least, summed(once * right) / least, count)
