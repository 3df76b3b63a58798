"""Estimates how long groups take from a few steps of some of them.

A step of a group takes a + c F seconds, F being its floating point operations. Both are found for the
cheapest and the dearest network of a population, from a small batch and a large one, cut down so that
a step stays short, and a network between them lies between them, in proportion to the logarithms.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from zoo.arithmetic import passes
from zoo.group import Group
from zoo.planned import GroupPlan

LARGEST_STEP = 2e9
"""Floating point operations of the largest step that is tried: about half a second of one slow core."""
SMALLEST = 1e-18


@dataclass(frozen=True)
class Speed:
    """Seconds that a step takes for itself, and seconds that each floating point operation adds."""

    overhead: float
    per_flop: float


def calibrated(
    groups: Sequence[Group], plans: Sequence[GroupPlan], seconds_a_step: Callable[[list[Group]], list[float]]
) -> list[GroupPlan]:
    """Give the plans with their seconds.

    Args:
        groups: What is to be trained.
        plans: A plan for each.
        seconds_a_step: Takes a few steps with groups and says how long one takes.
    """
    forward = {plan.name: plan.forward for plan in plans}
    ordered = sorted(groups, key=lambda group: forward[group.name])
    ends = [
        _tried(groups, ordered[0], forward[ordered[0].name]),
        _tried(groups, ordered[-1], forward[ordered[-1].name]),
    ]
    measured = seconds_a_step([group for end in ends for group in end])
    places = [forward[ordered[0].name], forward[ordered[-1].name]]
    speeds = [
        _speed([_step_flop(group, place) for group in end], seconds)
        for end, place, seconds in zip(ends, places, (measured[:2], measured[2:]), strict=True)
    ]
    return [plan.model_copy(update={"seconds": _seconds(plan, speeds, (places[0], places[1]))}) for plan in plans]


def _tried(groups: Sequence[Group], like: Group, forward: float) -> list[Group]:
    """One network in a small batch and in a large one, both cut down to what is tried."""
    batches = [group.batch_size for group in groups]
    return [_cut(replace(like, batch_size=size), forward) for size in (min(batches), max(batches))]


def _cut(group: Group, forward: float) -> Group:
    """As many members, and then as many samples, as a step that is not too large has."""
    sample = passes(group) * forward
    members = max(1, min(len(group.members), int(LARGEST_STEP / (sample * group.batch_size))))
    batch = max(1, min(group.batch_size, int(LARGEST_STEP / sample)))
    return replace(group, members=group.members[:members], batch_size=batch)


def _step_flop(group: Group, forward: float) -> float:
    return passes(group) * forward * group.batch_size * len(group.members)


def _speed(flop: Sequence[float], seconds: Sequence[float]) -> Speed:
    """The line through two points, or through one and nothing where they do not rise."""
    if flop[1] <= flop[0] * 1.5 or seconds[1] <= seconds[0]:
        return Speed(0.0, max(seconds) / max(flop))
    per_flop = (seconds[1] - seconds[0]) / (flop[1] - flop[0])
    return Speed(max(0.0, seconds[0] - per_flop * flop[0]), per_flop)


def _seconds(plan: GroupPlan, speeds: Sequence[Speed], places: tuple[float, float]) -> float:
    low, high = (math.log(place) for place in places)
    share = (math.log(plan.forward) - low) / (high - low) if high > low else 0.0
    overhead = _between(speeds[0].overhead, speeds[1].overhead, share)
    return plan.steps * overhead + plan.flop * _between(speeds[0].per_flop, speeds[1].per_flop, share)


def _between(first: float, last: float, share: float) -> float:
    return math.exp((1 - share) * math.log(first + SMALLEST) + share * math.log(last + SMALLEST))
