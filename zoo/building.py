"""Builds populations: recipe in, trained members with their weights and rows in the lake out."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Unpack

from schemas import Lake, OutsideError, UsageError
from schemas.lake import check_lake
from zoo.backends import check_backend
from zoo.construction import Construction, Progress
from zoo.engines import Engine, Failed, open_engine
from zoo.lock import sole_builder
from zoo.manner import How, Manner
from zoo.planned import Plan
from zoo.planning import draw_plan, refuse_if_too_large, timed, write_plan
from zoo.precision import precision_of
from zoo.recipe import Recipe, load_recipe, with_fields
from zoo.results import read_population

__all__ = ["Plan", "Progress", "build", "plan", "plans"]


def _now() -> datetime:
    return datetime.now(UTC)


def build(
    lake: Lake,
    recipe: str | Path | Recipe,
    *,
    progress: Progress | None = None,
    planned: Callable[[Plan], None] | None = None,
    clock: Callable[[], datetime] = _now,
    **how: Unpack[How],
) -> str:
    """Train the population of a recipe and give its population_id; go on where an earlier build stopped.

    Groups are jobs of an engine, a process with one thread each. What they have done lies in files
    first and is registered in the lake when that is free, and a training on its way is kept every
    `keep_seconds`: whenever a build was killed, the same one goes on and gives the same weights. A
    population that is complete is left alone. A group that fails stops no other; its members are
    in the lake as failed, with the reason, until a later build has trained them.

    Args:
        lake: Where the rows and weights go; it is held for moments only.
        recipe: A recipe, its file, or the name of one that comes with the zoo.
        progress: Is called after each epoch of each group.
        planned: Is called with the plan before anything is trained.
        clock: Says when the build begins.
        how: `device`, `workers`, `engine`, `backend`, `precision` and `keep_seconds`, as in `zoo.manner.Manner`.

    Raises:
        UsageError: The recipe or another argument cannot be, or the dataset is too small for a batch,
            or another one than at an earlier build.
        DataError: The dataset cannot be read.
        OutsideError: The disk is full or too small for the plan, or a worker died; all other groups
            were finished. Or another process is building this very population.
        LakeBusy: All is trained, but another process kept the lake; a later build only registers.
    """
    manner = Manner(**how)
    checked = _checked(lake, recipe, manner)
    if lake.read_only:
        raise UsageError(f"{lake.path} was opened with read_only=True; a build needs to write")
    with open_engine(manner.engine, manner.device, manner.workers) as engine:
        construction = Construction(lake, checked, engine.device, clock, manner)
        if checked.ancestor is not None:  # after what cannot be was refused, since it may take hours
            refuse_if_too_large(draw_plan(construction, engine), construction.weights)
            manner_of_it = _of_the_parent(how)
            built = build(lake, checked.ancestor, progress=progress, planned=planned, clock=clock, **manner_of_it)
            _check_name(checked.ancestor, built)
        failed = [] if construction.complete() else _train(construction, engine, progress, planned)
    if failed:
        raise OutsideError(_explained(failed, len(construction.groups)))
    return checked.population_id


def _train(
    construction: Construction, engine: Engine, progress: Progress | None, planned: Callable[[Plan], None] | None
) -> list[Failed]:
    """Train and register what is missing; gives the groups that failed."""
    drawn = draw_plan(construction, engine)
    refuse_if_too_large(drawn, construction.weights)
    drawn = timed(drawn, construction, engine)
    if planned and drawn.groups:
        planned(drawn)
    if not construction.lake.database.exists():  # one that is there may be held by another process, and nothing waits
        construction.lake.upgrade()
    with sole_builder(construction.weights, construction.recipe.population_id):
        construction.begin()
        if drawn.groups:
            write_plan(drawn, construction.weights)
        construction.announce()
        failed = construction.train(engine, progress)
        with suppress(OutsideError) if failed else nullcontext():  # what failed is said before what follows from it
            construction.register(None)
    return failed


def plan(lake: Lake, recipe: str | Path | Recipe, **how: Unpack[How]) -> Plan:
    """Say what building a recipe takes (members, steps, bytes, time) and train nothing.

    How long it takes is estimated from a few steps of some groups. What is built already is no part
    of it. Arguments and errors are those of `build`; of a recipe's parent only its own members are told.
    """
    manner = Manner(**how)
    checked = _checked(lake, recipe, manner)
    with open_engine(manner.engine, manner.device, manner.workers) as engine:
        construction = Construction(lake, checked, engine.device, _now, manner)
        return timed(draw_plan(construction, engine), construction, engine, always=True)


def plans(lake: Lake, recipe: str | Path | Recipe, **how: Unpack[How]) -> list[Plan]:
    """Say what building a recipe takes, as `plan`, after what each of its parents takes, eldest first."""
    checked = _checked(lake, recipe, Manner(**how))
    own = plan(lake, checked, **how)
    return [*(plans(lake, checked.ancestor, **_of_the_parent(how)) if checked.ancestor else []), own]


def _of_the_parent(how: How) -> How:
    """What the parent is, its own recipe says."""
    return how | {"precision": None}


def _checked(lake: Lake, recipe: str | Path | Recipe, manner: Manner) -> Recipe:
    check_lake(lake)
    check_backend(manner.backend)
    precision_of(manner.precision)
    loaded = recipe if isinstance(recipe, Recipe) else load_recipe(recipe)
    return _as_begun(lake.weights.folder, with_fields(loaded, precision=manner.precision))


def _check_name(ancestor: Recipe, built: str) -> None:
    """The members of an ancestor are the parents under its own name."""
    if built != ancestor.population_id:
        raise UsageError(f"the parent {ancestor.name} is in this lake as {built}; name the recipe's parent so")


def _as_begun(weights: Path, recipe: Recipe) -> Recipe:
    """A recipe that was built under another name already is the population of that name."""
    for path in sorted(weights.glob(f"*-{recipe.sha256[:8]}")):
        known = read_population(weights, path.name)
        if known and known.recipe_sha256 == recipe.sha256:
            return recipe.model_copy(update={"name": known.name})
    return recipe


def _explained(failed: Sequence[Failed], groups: int) -> str:
    """One sentence for all failures; groups that failed for the same reason stand together."""
    names: dict[str, list[str]] = {}
    for failure in failed:
        names.setdefault(failure.reason, []).append(failure.group)
    reasons = "; ".join(f"{', '.join(failed)}: {reason}" for reason, failed in names.items())
    hint = "run the build again to go on" if any(each.again for each in failed) else "mend that before it is run again"
    return f"{len(failed)} of {groups} groups could not be trained, {hint}: {reasons}"
