"""Learning rate schedules: the share of the peak learning rate that a step is taken with."""

from math import cos, pi

SCHEDULES = ("constant", "cosine", "onecycle", "step")


def share(schedule: str, step: int, steps: int) -> float:
    """Give the share, from 0 to 1, of the peak learning rate for one step.

    `constant` is 1. `cosine` falls from 1 to 0 over all steps, as torch's `CosineAnnealingLR` with
    `T_max=steps`. `onecycle` rises from 1/25 to 1 in the first 30 % of the steps and falls to
    1/250,000, both along a cosine, as torch's `OneCycleLR` with `cycle_momentum=False`. `step` is 1 for
    the first half of the steps and a tenth for the second, as torch's `MultiStepLR` with one milestone.

    >>> [round(share("cosine", step, 4), 3) for step in range(4)]
    [1.0, 0.854, 0.5, 0.146]

    Args:
        schedule: A name in `SCHEDULES`.
        step: The step, from 0.
        steps: Steps of the whole training.
    """
    if schedule == "constant":
        return 1.0
    if schedule == "cosine":
        return _between(1.0, 0.0, step / steps)
    if schedule == "step":
        return 1.0 if step < steps / 2 else 0.1
    peak = 0.3 * steps - 1
    if step <= peak:
        return _between(1 / 25, 1.0, step / peak)
    return _between(1.0, 1 / 250_000, (step - peak) / (steps - 1 - peak))


def _between(start: float, end: float, done: float) -> float:
    """Go from start to end along half a cosine."""
    return end + (start - end) * (1 + cos(pi * done)) / 2
