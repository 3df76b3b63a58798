"""Says how far the builds of a lake are, from the files that they leave: also while nobody can open the database."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from schemas import Lake, UsageError
from zoo.group import Group
from zoo.lock import is_being_built
from zoo.mistakes import expected_one_of
from zoo.planned import GroupPlan, Plan
from zoo.planning import free_bytes, read_plan
from zoo.recipe import Recipe
from zoo.results import (
    Failure,
    PopulationFile,
    Progress,
    failure_file,
    progress_file,
    read_as,
    read_population,
    read_result,
)

PolarsType = type[pl.DataType] | pl.DataType
POPULATIONS: dict[str, PolarsType] = {
    "population_id": pl.String,
    "state": pl.String,
    "groups": pl.Int64,
    "done": pl.Int64,
    "running": pl.Int64,
    "failed": pl.Int64,
    "waiting": pl.Int64,
    "share_done": pl.Float64,
    "seconds_left": pl.Float64,
    "bytes_needed": pl.Int64,
    "bytes_free": pl.Int64,
}
GROUPS: dict[str, PolarsType] = {
    "group": pl.String,
    "state": pl.String,
    "members": pl.Int64,
    "epoch": pl.Int64,
    "epochs": pl.Int64,
    "share_done": pl.Float64,
    "seconds_left": pl.Float64,
    "device": pl.String,
    "host": pl.String,
    "updated_at": pl.Datetime("us", "UTC"),
    "reason": pl.String,
}


@dataclass(frozen=True)
class Standing:
    """How far one group is."""

    group: Group
    state: str
    """done, running, failed, interrupted (it was kept and goes on from there) or waiting."""
    steps: int | None
    plan: GroupPlan | None
    progress: Progress | None = None
    failure: Failure | None = None
    seconds: float | None = None
    """What a group that is done took in all."""

    @property
    def share_done(self) -> float:
        """Share of its steps that are done, 0 to 1."""
        if self.state == "done":
            return 1.0
        return self.progress.step / self.progress.steps if self.progress else 0.0


def status(lake: Lake, population: str | None = None) -> pl.DataFrame:
    """How far builds are: a row a population, or of one population a row a group.

    A population is `complete`, `running`, `stopped` (a later build goes on with it) or, when stopped
    with groups that could not be trained, `failed`. Its groups are done, running, failed, waiting, or
    interrupted, which means that their training goes on from where it was kept. `seconds_left` is an
    estimate from what steps take that were taken; it is NULL where nothing is known, and counts for
    a population from now on if it were running. `bytes_needed` are those that are still to come.

    Args:
        lake: Where they are built.
        population: The population_id of one, or its name.

    Raises:
        UsageError: No population of this name was ever begun in this lake, or several were.
    """
    weights = lake.weights.folder
    begun = sorted(path.parent.name for path in weights.glob("*/population.json"))
    found = [known for known in (read_population(weights, name) for name in begun) if known]
    if population is None:
        return pl.DataFrame([_summary(weights, known) for known in found], schema=POPULATIONS)
    known = _named(found, population)
    standings = _standings(weights, known)
    return pl.DataFrame([_row(each, _pace(standings)) for each in standings], schema=GROUPS)


def _named(found: Sequence[PopulationFile], population: str) -> PopulationFile:
    ids = [known.population_id for known in found]
    named = [known for known in found if known.population_id == population]
    named = named or [known for known in found if known.name == population]
    if len(named) > 1:
        several = ", ".join(known.population_id for known in named)
        raise UsageError(f"{len(named)} populations are called {population}; name one of them: {several}")
    if not named:
        choices = expected_one_of(population, ids) if ids else "none was"
        raise UsageError(f"population {population!r} was not begun in this lake: {choices}")
    return named[0]


def _standings(weights: Path, known: PopulationFile) -> list[Standing]:
    recipe = Recipe.model_validate(known.recipe, strict=False)
    plan = read_plan(weights, known.population_id)
    plans = {group.name: group for group in plan.groups} if plan else {}
    building = is_being_built(weights, known.population_id)
    return [_standing(weights, known, group, plans.get(group.name), building) for group in recipe.groups()]


def _standing(weights: Path, known: PopulationFile, group: Group, plan: GroupPlan | None, building: bool) -> Standing:
    steps = plan.steps if plan else None
    result = read_result(weights, known.population_id, group, known.dataset_sha256)
    if result:
        seconds = sum(sitting.seconds for sitting in result.sittings) if result.sittings else None
        return Standing(group, "done", steps, plan, seconds=seconds)
    failure = read_as(Failure, failure_file(weights, known.population_id, group.name))
    progress = read_as(Progress, progress_file(weights, known.population_id, group.name))
    if failure and failure.group == group:
        return Standing(group, "failed", steps, plan, progress, failure)
    if progress is None:
        return Standing(group, "waiting", steps, plan)
    return Standing(group, "running" if building else "interrupted", steps, plan, progress)


def _pace(standings: Sequence[Standing]) -> float | None:
    """How many seconds a planned second takes, by the groups that are done; None where nothing is known."""
    timed = [each for each in standings if each.seconds is not None and each.plan and each.plan.seconds]
    planned = sum(each.plan.seconds or 0.0 for each in timed if each.plan)
    return sum(each.seconds or 0.0 for each in timed) / planned if planned else None


def _seconds_left(each: Standing, pace: float | None) -> float | None:
    """Seconds that a group still takes, when it is trained."""
    if each.state == "done":
        return 0.0
    if each.progress and each.progress.seconds_a_step is not None:
        return (each.progress.steps - each.progress.step) * each.progress.seconds_a_step
    if each.plan and each.plan.seconds is not None:
        return each.plan.seconds * (pace or 1.0)
    return None


def _row(each: Standing, pace: float | None) -> dict[str, Any]:
    progress = each.progress
    return {
        "group": each.group.name,
        "state": each.state,
        "members": len(each.group.members),
        "epoch": each.group.epochs if each.state == "done" else progress.epoch if progress else 0,
        "epochs": each.group.epochs,
        "share_done": each.share_done,
        "seconds_left": _seconds_left(each, pace),
        "device": progress and progress.device,
        "host": progress and progress.host,
        "updated_at": progress and progress.updated_at,
        "reason": each.failure and each.failure.reason,
    }


def _summary(weights: Path, known: PopulationFile) -> dict[str, Any]:
    standings, plan = _standings(weights, known), read_plan(weights, known.population_id)
    counts = {state: sum(each.state == state for each in standings) for state in ("done", "running", "failed")}
    building = is_being_built(weights, known.population_id)
    complete = counts["done"] == len(standings)
    stopped = "failed" if counts["failed"] else "stopped"
    return {
        "population_id": known.population_id,
        "state": "complete" if complete else "running" if building else stopped,
        "groups": len(standings),
        **counts,
        "waiting": len(standings) - sum(counts.values()),
        "share_done": _share_done(standings),
        "seconds_left": 0.0 if complete else _seconds_of_all(standings, plan),
        "bytes_needed": _bytes_needed(standings, plan),
        "bytes_free": free_bytes(weights),
    }


def _share_done(standings: Sequence[Standing]) -> float:
    """Share of the work that is done: of operations where they are known, of groups where not."""
    weight = [each.plan.flop if each.plan else 0.0 for each in standings]
    known = all(each.plan or each.state == "done" for each in standings) and sum(weight) > 0
    if not known or any(each.plan is None for each in standings):
        weight = [1.0] * len(standings)
    return sum(each.share_done * share for each, share in zip(standings, weight, strict=True)) / sum(weight)


def _seconds_of_all(standings: Sequence[Standing], plan: Plan | None) -> float | None:
    """Seconds to the end of all; groups that nothing is known of take as long for an operation as the others do."""
    pace, slots = _pace(standings), plan.slots if plan else 1
    rate = _seconds_an_operation(standings)
    left = []
    for each in standings:
        seconds = _seconds_left(each, pace)
        if seconds is None and each.plan and rate is not None:
            seconds = each.plan.flop * rate
        if seconds is None:
            return None
        left.append(seconds)
    return max(sum(left) / slots, *left)


def _seconds_an_operation(standings: Sequence[Standing]) -> float | None:
    """By the groups that are done or on their way; None where there are none."""
    timed = [(each.plan.flop, seconds) for each in standings if each.plan and (seconds := _seconds_in_all(each))]
    operations = sum(flop for flop, _ in timed)
    return sum(seconds for _, seconds in timed) / operations if operations else None


def _seconds_in_all(each: Standing) -> float | None:
    """Seconds that a group takes from beginning to end, by what it took so far."""
    if each.seconds is None and each.progress and each.progress.seconds_a_step is not None:
        return each.progress.steps * each.progress.seconds_a_step
    return each.seconds


def _bytes_needed(standings: Sequence[Standing], plan: Plan | None) -> int | None:
    if plan is None:
        return None
    missing = {each.group.name for each in standings if each.state != "done"}
    return plan.model_copy(update={"groups": [each for each in plan.groups if each.name in missing]}).needed_bytes
