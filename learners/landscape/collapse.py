"""Neural collapse: how far features and classifier are from the simplex to which training beyond zero error leads."""

from dataclasses import dataclass

import torch
from torch import Tensor

FOLDS = 10


@dataclass(frozen=True)
class Collapse:
    """NC1 to NC4 of each model, `[N]`, float64; all are 0 at complete collapse.

    Attributes:
        variability: NC1, tr(S_W S_B^+) / C: scatter within classes relative to that between them.
        norms: NC2, how unequal the centred class means are in length: standard deviation over mean.
        angles: NC2, how far the cosines between them are from -1 / (C - 1): mean of the absolute difference.
        duality: NC3, ||W / ||W|| - M / ||M||||^2: classifier against class means.
        nearest: NC4, share of samples whose prediction is not the class of the nearest mean.
    """

    variability: Tensor
    norms: Tensor
    angles: Tensor
    duality: Tensor
    nearest: Tensor

    def stacked(self) -> Tensor:
        """The five, `[5, N]`."""
        return torch.stack([self.variability, self.norms, self.angles, self.duality, self.nearest])


def collapse(features: Tensor, y: Tensor, classifier: Tensor, logits: Tensor) -> Collapse:
    """Measure how far models have collapsed.

    Where a figure is not defined it is NaN: class means that do not differ give no NC1, a mean that lies in the centre
    of all has no direction, and a classifier of zeros none either. Networks with more outputs than there are classes
    have no NC3: their classifier has rows without a class mean.

    Args:
        features: What goes into the classifier, `[N, n, d]`.
        y: Classes from 0 to C - 1, `[n]`; each occurs.
        classifier: Its weights, `[N, outputs, d]`.
        logits: What comes out, `[N, n, outputs]`.

    Source:
        Papyan, Han and Donoho 2020, "Prevalence of neural collapse during the terminal phase of deep learning
        training".
    """
    features, classifier, classes = features.double(), classifier.double(), 1 + int(y.max())
    member = torch.nn.functional.one_hot(y, classes).double()
    means = torch.einsum("nc,mnd->mcd", member, features) / member.sum(dim=0).view(1, -1, 1)
    centred = means - means.mean(dim=1, keepdim=True)
    within = features - means[:, y]
    distance = torch.cdist(features, means)
    return Collapse(
        _variability(within, centred),
        _unequal(centred),
        _off_simplex(centred),
        _duality(classifier, centred),
        (distance.argmin(dim=2) != logits.argmax(dim=2)).double().mean(dim=1),
    )


def with_errors(
    features: Tensor, y: Tensor, classifier: Tensor, logits: Tensor, folds: int = FOLDS
) -> tuple[Tensor, Tensor]:
    """The five figures `[5, N]` and their standard errors, by leaving out one fold of the samples after the other.

    Where folds leave a class without samples there is no error: NaN.
    """
    value = collapse(features, y, classifier, logits).stacked()
    classes, each = 1 + int(y.max()), []
    for fold in range(folds):
        kept = torch.arange(len(y), device=y.device) % folds != fold
        if torch.bincount(y[kept], minlength=classes).min() == 0:
            return value, torch.full_like(value, torch.nan)
        each.append(collapse(features[:, kept], y[kept], classifier, logits[:, kept]).stacked())
    left_out = torch.stack(each)
    spread = ((left_out - left_out.mean(dim=0)) ** 2).sum(dim=0)
    return value, (spread * (folds - 1) / folds).sqrt()


def _variability(within: Tensor, centred: Tensor) -> Tensor:
    """tr(S_W S_B^+) / C, where S_B has at most C - 1 directions: they are those of the centred means."""
    classes = centred.shape[1]
    _, sizes, directions = torch.linalg.svd(centred, full_matrices=False)
    largest = sizes[:, :1]
    counts = (sizes > largest * 1e-10 * max(centred.shape[1:])) & (largest > 0)
    along = (within @ directions.mT).pow(2).mean(dim=1)
    ratio = torch.where(counts, along / (sizes**2 / classes).clamp_min(torch.finfo(sizes.dtype).tiny), 0.0)
    found: Tensor = torch.where(counts.any(dim=1), ratio.sum(dim=1) / classes, torch.nan)
    return found


def _unequal(centred: Tensor) -> Tensor:
    norms = centred.norm(dim=2)
    unequal: Tensor = norms.std(dim=1, correction=0) / norms.mean(dim=1)
    return unequal


def _off_simplex(centred: Tensor) -> Tensor:
    classes = centred.shape[1]
    norms = centred.norm(dim=2, keepdim=True)
    unit = centred / torch.where(norms > 0, norms, torch.nan)
    off = ~torch.eye(classes, dtype=torch.bool, device=centred.device)
    offset: Tensor = ((unit @ unit.mT) + 1 / (classes - 1))[:, off].abs().mean(dim=1)
    return offset


def _duality(classifier: Tensor, centred: Tensor) -> Tensor:
    if classifier.shape[1] != centred.shape[1]:
        return torch.full_like(centred[:, 0, 0], torch.nan)
    first, second = (tensor / tensor.flatten(1).norm(dim=1).view(-1, 1, 1) for tensor in (classifier, centred))
    apart: Tensor = (first - second).pow(2).sum(dim=(1, 2))
    return apart
