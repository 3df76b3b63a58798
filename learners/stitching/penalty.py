"""What a joint costs: the error of a stitched network minus that of the network whose end it has."""

from collections.abc import Iterable
from dataclasses import dataclass
from math import sqrt

import torch
from torch import Tensor

from learners.stitching.joints import Joints
from zoo.population import Samples, losses

NORMAL = 1.959964
"""95 % of a normal distribution lie so many standard deviations around its mean."""


@dataclass(frozen=True)
class Penalty:
    """What one joint costs on held-out samples. Errors are shares, 0 to 1, losses nats."""

    front: int
    end: int
    front_cut: int
    end_cut: int
    error: float
    """Of the stitched network."""
    own_error: float
    """Of the end's own network, on the same samples."""
    penalty: float
    """The one minus the other; below zero the stitched network is better."""
    standard_error: float
    """Of the penalty, for another draw of held-out samples."""
    loss_penalty: float
    """Cross-entropy of the stitched network minus that of the end's own, nats; NaN where an output is not finite."""
    loss_standard_error: float
    rank: int
    """In how many directions the front's values vary."""
    samples: int

    @property
    def interval(self) -> tuple[float, float]:
        """95 % confidence interval of the penalty, see `interval`."""
        return interval(self.penalty, self.standard_error, self.samples)


def standard_error(total: Tensor, squares: Tensor, samples: int) -> Tensor:
    """Standard error of a mean of differences from -1 to 1, given their sum and the sum of their squares.

    Two samples are added, +1 and -1 (Bonett and Price, 2012), so that no joint is certain to cost nothing only
    because no difference was seen.
    """
    more = samples + 2
    return (((squares + 2) / more - (total / more) ** 2) / more).sqrt()


def interval(mean: float, error: float, samples: int) -> tuple[float, float]:
    """95 % confidence interval of a mean of differences from -1 to 1, given `standard_error`.

    Its centre is the mean with Bonett's and Price's two samples, too.

    >>> tuple(round(bound, 4) for bound in interval(0.0, sqrt(2 / 102 / 102), 100))
    (-0.0272, 0.0272)
    """
    centre = mean * samples / (samples + 2)
    return max(-1.0, centre - NORMAL * error), min(1.0, centre + NORMAL * error)


@torch.no_grad()
def penalties(joints: Joints, held_out: Samples, at_once: int) -> list[Penalty]:
    """Measure what every joint costs.

    A front runs once a batch for all ends, and the end once for all fronts: their values are samples of one batch.

    Args:
        joints: What was fitted, on other samples.
        held_out: Samples and classes; of texts each place counts as a part of its text.
        at_once: How many samples go through at once.
    """
    wanted = list(joints.table)
    sums: dict[tuple[int, int], Tensor] = {}
    batches = zip(torch.split(held_out.x, at_once), torch.split(held_out.y, at_once), strict=True)
    for x, y in batches:
        activations = {front: joints.networks[front].activations(x) for front in joints.fronts}
        own = {end: _scores(joints.networks[end].run(x), y) for end in {end for _, end in wanted}}
        for key in wanted:
            wrong, loss = _stitched(joints, key, activations, y)
            found = _sums(wrong, loss, *own[key[1]])
            sums[key] = sums[key] + found if key in sums else found
    return [penalty for key in wanted for penalty in _penalties(joints, key, sums[key].tolist(), len(held_out))]


def _stitched(
    joints: Joints, key: tuple[int, int], activations: dict[int, list[Tensor]], y: Tensor
) -> tuple[Tensor, Tensor]:
    """Error and loss of every front with one end, `[fronts, n]` each."""
    site, end = joints.sites[key[0]], key[1]
    target = joints.forms[end][site.cut]
    values = torch.cat([alike.join(activations, target) for alike in joints.table[key]])
    logits = joints.networks[end].run(values, start=site.cut)
    return _scores(logits.reshape(-1, *logits.shape[1:]), y)


def _scores(logits: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Share of wrong predictions and mean loss of each sample, `[networks, n]`, of logits `[networks * n, ...]`."""
    each = logits.reshape(-1, *y.shape, logits.shape[-1])
    wrong = wrong_predictions(each, y).double()
    return wrong.flatten(2).mean(dim=2) if y.ndim > 1 else wrong, _mean_places(losses(each, y).double(), y)


def wrong_predictions(logits: Tensor, y: Tensor) -> Tensor:
    """Whether predictions are wrong, of logits `[..., n, classes]`; those of logits that are not finite always are."""
    return (logits.argmax(dim=-1) != y) | ~logits.isfinite().all(dim=-1)


def _mean_places(values: Tensor, y: Tensor) -> Tensor:
    return values.flatten(2).mean(dim=2) if y.ndim > 1 else values


def _sums(wrong: Tensor, loss: Tensor, own_wrong: Tensor, own_loss: Tensor) -> Tensor:
    """Summed over samples `[6, fronts]`: error, own error, difference, its square, difference of losses, its square."""
    apart, further = wrong - own_wrong, loss - own_loss
    kinds = [wrong, own_wrong.expand_as(wrong), apart, apart**2, further, further**2]
    return torch.stack([kind.sum(dim=1) for kind in kinds])


def _penalties(joints: Joints, key: tuple[int, int], sums: list[list[float]], n: int) -> Iterable[Penalty]:
    fronts = [(front, cut) for alike in joints.table[key] for front, cut in alike.fronts]
    ranks = [rank for alike in joints.table[key] for rank in alike.rank]
    for (front, cut), rank, *figures in zip(fronts, ranks, *sums, strict=True):
        error, own, apart, squares, further, further_squares = figures
        spread = max(further_squares - further**2 / n, 0.0) / max(1, n - 1)  # NaN stays NaN, as it stands first
        yield Penalty(
            front=front,
            end=key[1],
            front_cut=cut,
            end_cut=joints.sites[key[0]].cut,
            error=error / n,
            own_error=own / n,
            penalty=apart / n,
            standard_error=float(standard_error(torch.tensor(apart), torch.tensor(squares), n)),
            loss_penalty=further / n,
            loss_standard_error=sqrt(spread / n),
            rank=rank,
            samples=n,
        )
