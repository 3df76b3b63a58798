"""Builds populations: recipe in, trained members with their weights and rows in the lake out."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from datetime import UTC, datetime
from pathlib import Path

from schemas import Lake, OutsideError, UsageError
from zoo.backends import AUTO, check_backend
from zoo.construction import Construction, Manner, Progress
from zoo.engines import Failed, open_engine
from zoo.lock import sole_builder
from zoo.planned import Plan
from zoo.planning import draw_plan, refuse_if_too_large, write_plan
from zoo.precision import precision_of
from zoo.recipe import Recipe, load_recipe
from zoo.results import read_population
from zoo.task import KEEP_SECONDS

__all__ = ["Plan", "Progress", "build", "plan"]


def _now() -> datetime:
    return datetime.now(UTC)


def build(
    lake: Lake,
    recipe: str | Path | Recipe,
    *,
    device: str = "auto",
    workers: int | None = None,
    engine: str = "local",
    backend: str = AUTO,
    precision: str | None = None,
    keep_seconds: float = KEEP_SECONDS,
    progress: Progress | None = None,
    planned: Callable[[Plan], None] | None = None,
    clock: Callable[[], datetime] = _now,
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
        device: `cpu`, `cuda`, or `auto`: cuda if there is one.
        workers: Groups that are trained at once; without it one a core, or one a GPU.
        engine: `local`, processes on this machine, or `ray`, a Ray cluster whose nodes share the
            lake's folder.
        backend: How a group's members are trained at once; `auto` is the fastest.
        precision: `bfloat16` for forward and backward passes in it; without it all is float32.
        keep_seconds: Seconds between two times that a training on its way is kept.
        progress: Is called after each epoch of each group.
        planned: Is called with the plan before anything is trained.
        clock: Says when the build begins.

    Raises:
        UsageError: The recipe or another argument cannot be, or the dataset is too small for a batch,
            or another one than at an earlier build.
        DataError: The dataset cannot be read.
        OutsideError: The disk is full or too small for the plan, or a worker died; all other groups
            were finished. Or another process is building this very population.
        LakeBusy: All is trained, but another process kept the lake; a later build only registers.
    """
    checked = _checked(lake, recipe, backend, precision)
    if lake.read_only:
        raise UsageError(f"{lake.path} was opened with read_only=True; a build needs to write")
    if checked.ancestor is not None:
        options = {"device": device, "workers": workers, "engine": engine, "backend": backend}
        more = {"precision": precision, "keep_seconds": keep_seconds, "progress": progress, "planned": planned}
        built = build(lake, checked.ancestor, **options, **more, clock=clock)  # type: ignore[arg-type] # as above
        _check_name(checked.ancestor, built)
    with open_engine(engine, device, workers) as place:
        construction = Construction(lake, checked, place.device, clock, Manner(backend, precision, keep_seconds))
        if construction.complete():
            return checked.population_id
        drawn = draw_plan(construction, place, engine)
        refuse_if_too_large(drawn, lake.weights.folder)
        if planned and drawn.groups:
            planned(drawn)
        with sole_builder(lake.weights.folder, checked.population_id):
            construction.begin()
            if drawn.groups:
                write_plan(drawn, construction.weights)
            construction.announce()
            failed = construction.train(place, progress)
            with suppress(OutsideError) if failed else nullcontext():  # what failed is said before what follows from it
                construction.register(None)
    if failed:
        raise OutsideError(_explained(failed, len(construction.groups)))
    return checked.population_id


def plan(
    lake: Lake,
    recipe: str | Path | Recipe,
    *,
    device: str = "auto",
    workers: int | None = None,
    engine: str = "local",
    backend: str = AUTO,
    precision: str | None = None,
) -> Plan:
    """Say what building a recipe takes (members, steps, bytes, time) and train nothing.

    How long it takes is estimated from a few steps of some groups. What is built already is no part
    of it. Arguments and errors are those of `build`; of a recipe's parent only its own members are told.
    """
    checked = _checked(lake, recipe, backend, precision)
    with open_engine(engine, device, workers) as place:
        construction = Construction(lake, checked, place.device, _now, Manner(backend, precision))
        return draw_plan(construction, place, engine, always_timed=True)


def _checked(lake: Lake, recipe: str | Path | Recipe, backend: str, precision: str | None) -> Recipe:
    check_backend(backend)
    precision_of(precision)
    return _as_begun(lake.weights.folder, recipe if isinstance(recipe, Recipe) else load_recipe(recipe))


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
    return f"{len(failed)} of {groups} groups could not be trained, run the build again to go on: {reasons}"
