"""Barriers between models of the lake, where it is known how they run and their data is at hand."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from learners.soups.check.barrier import HIGH, Barrier, linear_barriers
from learners.soups.check.facts import Facts
from learners.soups.check.kept import is_kept
from learners.soups.check.problem import ALIGNED, BARRIER, NOTED, UNWISE, Problem
from learners.soups.check.starts import told_of_twins
from learners.soups.check.verdicts import Mergeability, Pair, Problems, verdict_on
from learners.soups.members import Changed, Members
from schemas import DataError, Lake, UsageError
from zoo.datasets import load_dataset
from zoo.locate import locate
from zoo.population import Samples, Weights

SAMPLES = 1000
MOST_ASKED = 20
"""Pairs whose barriers are measured before a merge: it is the whole selection that is merged, and one is enough."""
CLOSER = "take fine-tunes of one trained model or checkpoints of one run, or a greedy soup, which takes what helps"


@dataclass(frozen=True)
class Kept:
    """Tensors that a merge takes from its base as they are: between models that all have these it is that one merges.

    Attributes:
        base: Index of that model.
        names: Patterns of the tensors' names.
    """

    base: int
    names: Sequence[str]


NOTHING = Kept(0, ())


def judged_by_barriers(
    lake: Lake, report: Mergeability, models: int, kept: Kept = NOTHING, twins: Sequence[Facts] | None = None
) -> Mergeability:
    """Add the barriers of up to 20 pairs to a verdict that nothing else speaks against, but that models were aligned.

    Where barriers of twins cannot be measured, their weights have to say that they are nearly one network.

    Args:
        lake: Where the models are.
        report: The verdict so far.
        models: How many of the first are merged; what comes after them is their parent.
        kept: What a merge takes from its base.
        twins: What is merged in place of the models, in their order: models whose units were brought into one order.
    """
    problems = report.problems
    if any(each.severity != NOTED and each.kind != ALIGNED for each in problems.every):
        return report
    pairs = merged_pairs(problems.between, models)
    asked = sorted(pairs, key=lambda pair: not _is_aligned(problems.between[pair]))[:MOST_ASKED]
    barriers = barriers_between(lake, twins or report.facts, asked, SAMPLES, kept)
    told = told_by_barriers(report.facts, problems, barriers)
    if twins and len(barriers) < MOST_ASKED:
        unmeasured = [pair for pair in pairs if pair not in barriers]
        told = told.more({}, told_of_twins(report.facts, twins, unmeasured, kept.names))
    return verdict_on(report.facts, told)


def told_by_barriers(facts: Sequence[Facts], problems: Problems, barriers: Mapping[Pair, Barrier]) -> Problems:
    """What speaks against pairs whose averages are worse than they are; aligned ones that do well are only noted.

    Where more pairs were aligned than are measured, and all that are do well, so do the others.
    """
    high = high_barriers(facts, barriers)
    known = barriers if high or len(barriers) < MOST_ASKED else problems.between
    between = {pair: list(found) for pair, found in problems.between.items()}
    for pair in filter(lambda pair: _is_aligned(between[pair]), known):
        between[pair] = _without_alignment(between[pair])
        if pair in barriers.keys() - high.keys():
            names = f"{facts[pair[0]].name} and {facts[pair[1]].name}"
            note = f"{names} were aligned, and between them the loss rises by {barriers[pair].height:.2f} nats at most"
            between[pair].append(Problem(NOTED, note, kind=ALIGNED))
    return replace(problems, between=between).more({}, high)


def _is_aligned(found: Sequence[Problem]) -> bool:
    return any(each.kind == ALIGNED for each in found)


def _without_alignment(found: Sequence[Problem]) -> list[Problem]:
    return [each for each in found if each.kind != ALIGNED]


def without_alignment(report: Mergeability) -> Mergeability:
    """The verdict where data tells what became of aligned models, or their moments are restored."""
    between = {pair: _without_alignment(found) for pair, found in report.problems.between.items()}
    return verdict_on(report.facts, replace(report.problems, between=between))


def merged_pairs(pairs: Iterable[Pair], models: int) -> list[Pair]:
    """Pairs of models without their parent, which no mean is made with; where one model is merged, with it.

    From initial weights to the end of a training the loss may rise, and does not speak against sums of task vectors.
    """
    return [pair for pair in pairs if models == 1 or max(pair) < models]


def high_barriers(facts: Sequence[Facts], barriers: Mapping[Pair, Barrier]) -> dict[Pair, list[Problem]]:
    """What speaks against pairs whose averages are worse than they are."""
    found = {}
    for (i, j), barrier in barriers.items():
        if barrier.high:
            reason = (
                f"between {facts[i].name} and {facts[j].name} the loss rises by {barrier.height:.2f} nats (± "
                f"{barrier.error:.2f}; from {HIGH} on a mean is worse than its ingredients)"
            )
            found[i, j] = [Problem(UNWISE, reason, CLOSER, BARRIER, final=True)]
    return found


def barriers_between(
    lake: Lake, facts: Sequence[Facts], pairs: Sequence[Pair], samples: int = SAMPLES, kept: Kept = NOTHING
) -> dict[Pair, Barrier]:
    """Measure barriers of those pairs that are known to run alike on the same data, which is at hand.

    Where tensors are kept, the ends are the models with the base's in place of their own, if all run alike.
    """
    if kept.names:
        pairs = [pair for pair in pairs if all(_comparable(facts[kept.base], facts[index]) for index in pair)]
    known = [pair for pair in pairs if _comparable(facts[pair[0]], facts[pair[1]])]
    found: dict[Pair, Barrier] = {}
    while known:
        description = facts[known[0][0]].description
        here = [pair for pair in known if facts[pair[0]].description == description]
        known = [pair for pair in known if pair not in here]
        found |= _measured(lake, facts, here, samples, kept)
    return found


def _comparable(first: Facts, second: Facts) -> bool:
    one, other = first.description, second.description
    if one is None or other is None or one.architecture == "pinn" or not (first.stored and second.stored):
        return False
    return one.model_copy(update={"init": None}) == other.model_copy(update={"init": None})


def _measured(
    lake: Lake, facts: Sequence[Facts], pairs: Sequence[Pair], samples: int, kept: Kept
) -> dict[Pair, Barrier]:
    description = facts[pairs[0][0]].description
    assert description is not None, "pairs were chosen by it"  # noqa: S101 - by _comparable
    try:
        data = load_dataset(description.dataset, description.split_seed)
    except (UsageError, DataError):  # the data is not on this machine
        return {}
    models = sorted({index for pair in pairs for index in pair} | ({kept.base} if kept.names else set()))
    places = locate(lake, [facts[i].model_id for i in models], [facts[i].epoch for i in models])
    position = {index: place for place, index in enumerate(models)}
    inside = [(position[i], position[j]) for i, j in pairs]
    held_out, train = (Samples(part.x[:samples], part.y[:samples]) for part in (data.validation, data.train))
    members: Sequence[Weights] = Members(lake, places)
    if kept.names:
        base, names = members[position[kept.base]], kept.names
        members = Changed(
            members, lambda _, own: {name: base[name] if is_kept(name, names) else own[name] for name in own}
        )
    found = linear_barriers(description.skeleton(), members, inside, held_out, train)
    return dict(zip(pairs, found, strict=True))
