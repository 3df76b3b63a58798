"""What several trainings of the curves of many pairs say together: the mean curve, and how far chance moves it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from learners.landscape.connectivity.path import Profile, connectivity_of, deviations, peak_of
from learners.landscape.student import widening
from zoo.randomness import generator

Statistic = Callable[[Tensor], Tensor]
"""Something of errors along curves, `[pairs, T]` in, `[pairs]` out."""


@dataclass(frozen=True)
class Runs:
    """Profiles of the same pairs' curves, trained from other batches and places each; float64.

    Standard errors are over the runs, and widened by what Student's t asks of so few, so that 1.96 of them to either
    side cover what endless runs would give 95 times in a hundred. They are NaN for a single run.

    Attributes:
        places: From 0 to 1, `[T]`.
        losses: Mean loss of each run in nats, `[runs, pairs, T]`.
        errors: Error of each run in percentage points, `[runs, pairs, T]`.
    """

    places: Tensor
    losses: Tensor
    errors: Tensor

    @classmethod
    def of(cls, profiles: Iterable[Profile]) -> "Runs":
        """What profiles at the same places say; each is let go before the next one is asked for."""
        each = [(profile.places, profile.loss, profile.error) for profile in profiles]
        places, losses, errors = zip(*each, strict=True)
        return cls(places[0], torch.stack(losses), torch.stack(errors))

    @property
    def loss(self) -> tuple[Tensor, Tensor]:
        """Mean loss over the runs in nats and its standard error, `[pairs, T]`."""
        return _mean(self.losses)

    @property
    def error(self) -> tuple[Tensor, Tensor]:
        """Mean error over the runs in percentage points and its standard error, `[pairs, T]`."""
        return _mean(self.errors)

    def connectivity(self, draws: int, seed: int) -> "Connectivity":
        """Mode connectivity of the mean curve with its standard error, see `Connectivity`.

        Args:
            draws: Curves that are drawn around the mean one.
            seed: Of them.
        """
        centre = self.errors.mean(dim=0)
        below, above = deviations(centre)
        drawn = self._drawn(connectivity_of, draws, seed)
        share = ((drawn > 0).double() + (drawn >= 0)).mean(dim=0) / 2
        value = share * below - (1 - share) * above
        return Connectivity(value, self._spread(drawn, value), below, above, share)

    def peak(self, draws: int, seed: int) -> tuple[Tensor, Tensor]:
        """The place at which the error of the mean curve is largest, and its standard error, `[pairs]`."""

        def place(error: Tensor) -> Tensor:
            return peak_of(error, self.places)

        value = place(self.errors.mean(dim=0))
        return value, self._spread(self._drawn(place, draws, seed), value)

    def _drawn(self, statistic: Statistic, draws: int, seed: int) -> Tensor:
        """A statistic of mean curves that are drawn around the found one, `[draws, pairs]`; of one run that of its own.

        A curve is drawn by moving the mean along what sets the runs apart from it, by normal weights (Mammen 1993,
        "Bootstrap and wild bootstrap for high dimensional linear models"), each time to both sides.
        """
        runs, centre = len(self.errors), self.errors.mean(dim=0)
        if runs < 2:
            return statistic(centre).unsqueeze(0)
        apart = widening(runs) / (runs * (runs - 1)) ** 0.5 * (self.errors - centre)
        source, each = generator("curve runs", seed), []
        for _ in range(-(-draws // 2)):
            weights = torch.randn(runs, generator=source, dtype=torch.float64).to(centre)
            step = torch.tensordot(weights, apart, dims=1)
            each += [statistic(centre + step), statistic(centre - step)]
        return torch.stack(each)

    def _spread(self, drawn: Tensor, value: Tensor) -> Tensor:
        if len(self.errors) < 2:
            return torch.full_like(value, torch.nan)
        return (drawn - value).square().mean(dim=0).sqrt()


@dataclass(frozen=True)
class Connectivity:
    """Mode connectivity of many pairs in percentage points, `[pairs]`, float64.

    The largest deviation of a curve has a sign, and jumps where a dip and a hump are about as large. So each of the two
    counts by the share of curves, drawn around the mean of the runs, in which it is the larger one. Where that is plain
    the value is `connectivity_of` the mean curve, and to that it comes with more runs; where it is open it lies between
    the two, with an error that reaches both.

    Attributes:
        value: Below 0 is a barrier.
        error: Its standard error.
        dip: How far the mean curve falls below the mean of the ends' errors.
        hump: How far it rises above.
        share: Of drawn curves whose dip is the larger one; ties count half.
    """

    value: Tensor
    error: Tensor
    dip: Tensor
    hump: Tensor
    share: Tensor


def _mean(each: Tensor) -> tuple[Tensor, Tensor]:
    """The mean over the runs and its standard error."""
    runs = len(each)
    if runs < 2:
        return each[0], torch.full_like(each[0], torch.nan)
    return each.mean(dim=0), each.std(dim=0) / runs**0.5 * widening(runs)
