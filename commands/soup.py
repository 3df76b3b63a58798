"""Averaging models into one."""

from typing import Annotated, Any

import typer

from commands.arguments import DEFAULT_LAKE, Align, AsJson, Choice, Descriptions, LakeFolder
from commands.terminal import say, show
from schemas import UsageError, open_lake


class SoupMethod(Choice):
    """How a soup's ingredients are chosen and weighted."""

    GREEDY = "greedy"
    LEARNED = "learned"
    UNIFORM = "uniform"


class By(Choice):
    """What has a share of its own in a learned soup."""

    MODEL = "model"
    TENSOR = "tensor"


class Accept(Choice):
    """What a candidate has to do to be kept."""

    RAISE = ">"
    NOT_LOWER = ">="


OWN_OPTIONS = {
    **dict.fromkeys(["accept", "passes", "removal", "restarts", "seed"], SoupMethod.GREEDY),
    **dict.fromkeys(["by", "steps"], SoupMethod.LEARNED),
}
"""Options that one method has and the others do not."""


def soup(
    context: typer.Context,
    selection: Annotated[
        str | None, typer.Argument(help="SQL query that returns model_id (and epoch), in quotes.")
    ] = None,
    select: Annotated[str | None, typer.Option(help="The same query, as an option.")] = None,
    lake: LakeFolder = DEFAULT_LAKE,
    method: Annotated[
        SoupMethod, typer.Option(help="Average all, only those that help, or by shares that are learned.")
    ] = SoupMethod.GREEDY,
    accept: Annotated[Accept, typer.Option(help="Greedy: keep what does not lower, or only what raises.")] = (
        Accept.NOT_LOWER
    ),
    passes: Annotated[int, typer.Option(min=1, help="Greedy: go through the models so often.")] = 1,
    removal: Annotated[bool, typer.Option("--removal", help="Greedy: try to take models out again.")] = False,
    restarts: Annotated[int, typer.Option(min=0, help="Greedy: search so many drawn orders too.")] = 0,
    seed: Annotated[int, typer.Option(help="Greedy: what is drawn hangs on it.")] = 0,
    by: Annotated[By, typer.Option(help="Learned: a share a model, or a share for each of its tensors.")] = By.MODEL,
    steps: Annotated[int, typer.Option(min=1, help="Learned: steps of the optimiser.")] = 50,
    align: Annotated[
        Align | None, typer.Option(help="Bring the units of all models into the order of the first one's, before.")
    ] = None,
    repair: Annotated[
        bool, typer.Option("--repair", help="Give units of averages the moments that averaging takes (REPAIR).")
    ] = False,
    compare: Annotated[
        bool, typer.Option("--compare", help="Compare all kinds of soups, on corrupted images too, and stop.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Average even where that is possible but unwise.")] = False,
    description: Descriptions = None,
    as_json: AsJson = False,
) -> None:
    """Average models into one, write it to the lake, and compare it with its ingredients."""
    import learners
    from zoo import read_description

    query = selection or select
    if query is None or (selection and select):
        raise UsageError('expected one query, e.g. --select "SELECT model_id FROM models WHERE ..."')
    if compare and (align or repair):
        raise UsageError("--compare has aligned and repaired soups among its rows; leave --align, --repair out")
    _check_options(context, None if compare else method)
    built = [read_description(path) for path in description or ()]
    with open_lake(lake, create=False) as opened:
        if compare:
            show(learners.compare_soups(opened, query, force=force, description=built), as_json)
            return
        options: dict[str, Any] = {"force": force, "align": align and align.value, "repair": repair}
        options["description"] = built
        if method is SoupMethod.GREEDY:
            options |= {"accept": accept.value, "passes": passes, "removal": removal, "restarts": restarts}
            made = learners.greedy_soup(opened, query, seed=seed, **options)
        else:
            learned = method is SoupMethod.LEARNED
            options |= {"by": by.value, "steps": steps} if learned else {}
            made = (learners.learned_soup if learned else learners.uniform_soup)(opened, query, **options)
    for warning in made.warnings:
        say(f"{'unwise, but forced' if force else 'warning'}: {warning}")
    for note in made.notes:
        say(f"note: {note}")
    say(f"{made.model_id}: {len(made.ingredients)} of {len(made.ingredients) + len(made.left_out)} models")
    show(made.comparison, as_json)


def _check_options(context: typer.Context, method: SoupMethod | None) -> None:
    """Refuse what was given and would change nothing; None is the comparison, which makes all kinds as they are."""
    for name, owner in OWN_OPTIONS.items():
        source = context.get_parameter_source(name)
        if owner is method or source is None or source.name != "COMMANDLINE":
            continue
        if method is None:
            raise UsageError(f"--{name}: --compare makes all kinds of soups with their usual options; leave it out")
        raise UsageError(f"--{name} is an option of --method {owner.value}; --method {method.value} has no use for it")
