"""Draws the plan of a build, times it by a few steps, and refuses one that the disk cannot hold."""

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

from schemas import DataError, OutsideError, UsageError
from zoo.calibration import calibrated
from zoo.construction import Construction
from zoo.engines import Done, Engine, Failed
from zoo.group import Group
from zoo.planned import Plan, group_plan, in_bytes
from zoo.results import read_as, write_model
from zoo.trial import Trial

SHORT = 3e11
"""Floating point operations that are not worth timing: less than a minute."""
PLAN = "build.plan"


def draw_plan(construction: Construction, engine: Engine) -> Plan:
    """Work out what training the groups that are missing takes, but for the time.

    Raises:
        UsageError: The dataset does not suit the recipe, or the backend is not for such groups.
    """
    groups = construction.missing
    dataset = construction.dataset() if groups else None
    plans = [group_plan(group, dataset) for group in groups] if dataset else []
    return Plan(
        population_id=construction.recipe.population_id,
        engine=construction.manner.engine,
        device=engine.device,
        slots=engine.slots,
        drawn_at=datetime.now(UTC),
        groups=plans,
    )


def timed(plan: Plan, construction: Construction, engine: Engine, *, always: bool = False) -> Plan:
    """Find out by a few steps how long a plan takes; a short build is not timed unless always.

    Raises:
        UsageError: The backend is not for such groups.
        OutsideError: The engine could not take a step, or died of it; the message says what the plan takes.
    """
    if not plan.groups or not (always or sum(group.flop for group in plan.groups) > SHORT):
        return plan
    groups = [construction.groups[group.name] for group in plan.groups]
    found = calibrated(groups, plan.groups, lambda tried: _seconds_a_step(plan, construction, engine, tried))
    return plan.model_copy(update={"groups": found})


def _seconds_a_step(plan: Plan, construction: Construction, engine: Engine, groups: list[Group]) -> list[float]:
    trial = Trial(
        groups=groups,
        dataset=construction.recipe.dataset,
        split_seed=construction.recipe.split_seed,
        device=engine.device,
        backend=construction.manner.backend,
        precision=construction.recipe.precision,
    )
    with engine.events([trial]) as events:
        for event in events:
            if isinstance(event, Done) and event.answer is not None:
                return [float(seconds) for seconds in json.loads(event.answer)]
            if isinstance(event, Failed):
                error = OutsideError if event.again else UsageError
                raise error(f"no step could be taken ({event.reason}) of {plan.in_words()}")
    raise DataError("a trial gave no answer")


def refuse_if_too_large(plan: Plan, weights: Path) -> None:
    """Raise OutsideError if the disk has no room for what a plan leaves behind."""
    free = free_bytes(weights)
    if plan.needed_bytes > free:
        raise OutsideError(
            f"{plan.population_id} needs {in_bytes(plan.needed_bytes)} and the disk of {weights} has "
            f"{in_bytes(free)} free; make room, take a lake on another disk, or fewer checkpoint_epochs"
        )


def free_bytes(folder: Path) -> int:
    """Bytes that are free on the disk of a folder, which need not be there yet."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def write_plan(plan: Plan, weights: Path) -> None:
    """Leave the plan with the population, for whoever asks how far it is."""
    write_model(weights / plan.population_id / PLAN, plan, indent=1)


def read_plan(weights: Path, population_id: str) -> Plan | None:
    """Read what the last build of a population set out to do; None if there is none."""
    return read_as(Plan, weights / population_id / PLAN)
