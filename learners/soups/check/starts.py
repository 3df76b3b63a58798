"""Whether models of unknown descent started alike, as a sample of their weights tells."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from learners.soups.check.facts import Facts
from learners.soups.check.geometry import SAMPLED, Geometry, geometry
from learners.soups.check.kept import is_head, is_kept
from learners.soups.check.problem import ALIGNED, IMPOSSIBLE, NOTED, START, STARTS, Problem
from learners.soups.check.problems import common_start, problems_between
from learners.soups.check.values import first_not_finite, not_finite
from learners.soups.check.verdicts import Mergeability, Pair, Problems, verdict_on
from learners.soups.files.stored import Stored

SAME_START = 0.5
"""Cosine of two models' weights from which on they are taken to have started alike."""
SAME_ALIGNED = 0.9
"""The same of aligned models, whose matching has sought what raises it."""


@dataclass(frozen=True)
class _Seen:
    """What the weights of a pair say.

    Attributes:
        cosine: Of their matrices that differ.
        partly: Whether some are equal.
        heads_only: Whether all that differ are output layers.
    """

    cosine: float
    partly: bool
    heads_only: bool

    @property
    def said(self) -> str:
        which = "their weights that differ" if self.partly else "their weights"
        return f"the cosine of {which} is {round(self.cosine, 2) + 0.0:.2f}"


def with_starts(report: Mergeability, keep: Sequence[str]) -> Mergeability:
    """Add to what is known without weights whether models of unknown descent started alike, as some weights tell.

    Tensors that are equal in both say that these have one origin, and nothing of the others: it is those that differ
    which are compared. Where these are output layers only, whose units have one order in all models, their means are
    means of outputs. A model that turns out to have values that are not finite is said to.
    """
    own, between = report.problems.own, report.problems.between
    apart = [pair for pair, found in between.items() if _needs_weights(found, own, pair)]
    if not apart:
        return report
    names = [facts.name for facts in report.facts]
    seen, broken = _seen(report.facts, apart, keep)
    told = {(i, j): _told(between[i, j], each, f"{names[i]} and {names[j]}") for (i, j), each in seen.items()}
    unknown = {pair: _without_starts(between[pair]) for pair in apart if broken.keys() & set(pair)}
    alike = {pair: each.cosine for pair, each in seen.items()}
    problems = Problems(own, {**between, **told, **unknown}, alike)
    return verdict_on(report.facts, problems.more(broken, {}))


def told_of_twins(
    facts: Sequence[Facts], twins: Sequence[Facts], pairs: Sequence[Pair], keep: Sequence[str]
) -> dict[Pair, list[Problem]]:
    """What weights say of models that are aligned for a merge: what they say of twins that were aligned before it.

    Args:
        facts: The models, in whose names it is said.
        twins: What is merged in their place, in their order.
        pairs: Those that nothing else tells of; one with a common start in lineage needs nothing more.
        keep: Patterns of tensor names that are not merged.
    """
    apart = [(i, j) for i, j in pairs if common_start(facts[i], facts[j]) is None]
    named = [replace(twin, model_id=own.model_id, epoch=own.epoch) for twin, own in zip(twins, facts, strict=True)]
    found = {(i, j): _only_starts(problems_between(named[i], named[j], keep)) for i, j in apart}
    seen, _ = _seen(named, apart, keep)
    told = {(i, j): _told(found[i, j], each, f"{named[i].name} and {named[j].name}") for (i, j), each in seen.items()}
    return {**found, **told}


def _only_starts(found: Sequence[Problem]) -> list[Problem]:
    return [problem for problem in found if problem.kind in STARTS]


def _needs_weights(found: Sequence[Problem], own: Sequence[Sequence[Problem]], pair: Pair) -> bool:
    possible = not any(problem.severity == IMPOSSIBLE for problem in (*found, *own[pair[0]], *own[pair[1]]))
    return possible and any(problem.kind in STARTS for problem in found)


def _seen(
    facts: Sequence[Facts], pairs: Sequence[Pair], keep: Sequence[str]
) -> tuple[dict[Pair, _Seen], dict[int, Problem]]:
    """What weights of pairs that are both at hand say, from a sample of their largest tensors, and who is broken."""
    models = sorted({index for pair in pairs for index in pair if facts[index].stored})
    seen: dict[Pair, _Seen] = {}
    broken: dict[int, Problem] = {}
    for group in _groups(facts, models, keep):
        stored = [_merged(facts[index], keep) for index in group]
        shapes = geometry(stored, stored[0], SAMPLED)
        for place, index in enumerate(group):
            name = "" if shapes.finite(place) else first_not_finite(stored[place])
            if name:
                broken[index] = not_finite(facts[index].name, name)
        position = {index: place for place, index in enumerate(group) if index not in broken}
        for i, j in pairs:
            if i in position and j in position:
                seen[i, j] = _compared(shapes, position[i], position[j])
    return seen, broken


def _compared(shapes: Geometry, first: int, second: int) -> _Seen:
    differing, read = shapes.differing(first, second), len(shapes.origins)
    heads_only = bool(differing) and len(differing) < read and all(is_head(name) for name in differing)
    return _Seen(shapes.weight_cosine(first, second), len(differing) < read, heads_only)


def _merged(facts: Facts, keep: Sequence[str]) -> Mapping[str, Stored]:
    return {name: tensor for name, tensor in (facts.stored or {}).items() if not is_kept(name, keep)}


def _groups(facts: Sequence[Facts], models: Sequence[int], keep: Sequence[str]) -> list[list[int]]:
    """Models of the same names and shapes, but for those that are kept."""
    groups: dict[tuple[tuple[str, tuple[int, ...]], ...], list[int]] = {}
    for index in models:
        merged = {name: tensor for name, tensor in facts[index].tensors.items() if not is_kept(name, keep)}
        key = tuple(sorted((name, tensor.shape) for name, tensor in merged.items()))
        groups.setdefault(key, []).append(index)
    return [group for group in groups.values() if len(group) > 1]


def _without_starts(found: Sequence[Problem]) -> list[Problem]:
    return [problem for problem in found if problem.kind not in STARTS]


def _told(found: Sequence[Problem], seen: _Seen, names: str) -> list[Problem]:
    aligned = any(problem.kind == ALIGNED for problem in found)
    if seen.heads_only:
        note = "no lineage says so, but all their weights except for output layers are equal"
    elif seen.cosine >= (SAME_ALIGNED if aligned else SAME_START):
        what = "once aligned they are nearly one network" if aligned else "they started alike"
        note = f"no lineage says so, but {seen.said}, which says that {what}"
    else:
        return [_with_cosine(problem, seen, names) for problem in found]
    return [*_without_starts(found), Problem(NOTED, note, kind=START)]


def _with_cosine(problem: Problem, seen: _Seen, names: str) -> Problem:
    if problem.kind == ALIGNED:
        return replace(problem, reason=f"{problem.reason} ({seen.said}, which tells nothing of that)")
    if problem.kind != START:
        return problem
    apart = f"{names} do not share an initialisation, or have trained far from it ({seen.said})"
    return replace(problem, reason=f"{apart}, and averages of such networks collapse")
