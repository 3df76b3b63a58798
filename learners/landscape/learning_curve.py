"""Features of learning curves: where a loss ends, how fast it falls, how rough its way is."""

from collections.abc import Sequence
from itertools import pairwise
from math import isfinite, log

FEWEST_EPOCHS = 2


def features(losses: Sequence[float]) -> dict[str, float]:
    """Describe a curve of losses, one after each epoch.

    Returns:
        By name: `area`, mean loss over the epochs (trapezoids over the first one's); `final`, the last loss;
        `best_epoch`, epochs until the least one, from 1; `half_time`, epochs until half of the way from the first to
        the least loss is gone, interpolated; `slope`, that of the logarithm of the loss over that of the epoch in the
        second half (a power law's exponent); `roughness`, the sum of all rises over that of all changes, 0 for a
        curve that only falls.

    Raises:
        ValueError: There are less than two epochs, or a loss is no finite number; the message says which.

    >>> features([4.0, 2.0, 1.0, 1.0])["half_time"]
    1.75
    """
    if len(losses) < FEWEST_EPOCHS:
        raise ValueError(f"a learning curve needs at least {FEWEST_EPOCHS} epochs, this one has {len(losses)}")
    if not all(map(isfinite, losses)):
        raise ValueError("the training loss has not stayed finite: the model has diverged")
    changes = [after - before for before, after in pairwise(losses)]
    moved = sum(map(abs, changes))
    return {
        "area": sum((before + after) / 2 for before, after in pairwise(losses)) / len(changes),
        "final": losses[-1],
        "best_epoch": float(losses.index(min(losses)) + 1),
        "half_time": _half_time(losses),
        "slope": _slope(losses),
        "roughness": sum(change for change in changes if change > 0) / moved if moved else 0.0,
    }


def _half_time(losses: Sequence[float]) -> float:
    half = (losses[0] + min(losses)) / 2
    for epoch, (before, after) in enumerate(pairwise(losses), start=1):
        if after <= half:
            return epoch + ((before - half) / (before - after) if before > after else 0.0)
    return 1.0


def _slope(losses: Sequence[float]) -> float:
    """Least squares of log loss over log epoch in the second half; NaN where a loss there is zero."""
    begin = min(len(losses) // 2, len(losses) - 2)
    points = [(log(epoch), loss) for epoch, loss in enumerate(losses, start=1)][begin:]
    if any(loss <= 0 for _, loss in points):
        return float("nan")
    middle = sum(x for x, _ in points) / len(points)
    level = sum(log(loss) for _, loss in points) / len(points)
    across = sum((x - middle) ** 2 for x, _ in points)
    return sum((x - middle) * (log(loss) - level) for x, loss in points) / across
