"""What only the values of models tell: output layers that are the embedding in one of two, index tables that differ."""

from collections.abc import Iterator, Mapping, Sequence

import torch

from learners.soups.check.facts import Facts
from learners.soups.check.kept import is_kept
from learners.soups.check.problem import NOTED, UNWISE, Problem
from learners.soups.check.verdicts import Pair
from learners.soups.files.mapped import mapped
from learners.soups.files.stored import DTYPES, Stored
from learners.soups.files.ties import tied, tied_names

COUNTER = "num_batches_tracked"
Tensors = Mapping[str, Stored]


def differing_contents(facts: Sequence[Facts], pairs: Sequence[Pair], keep: Sequence[str]) -> dict[Pair, list[Problem]]:
    """What there is to say of pairs of models at hand, of the same names and shapes, beyond distances.

    Raises:
        DataError: A file was changed while it was read.
    """
    stored = {index: _merged(facts[index], keep) for pair in pairs for index in pair}
    ties = {index: _ties(tensors) for index, tensors in stored.items()}
    found: dict[Pair, list[Problem]] = {}
    for i, j in pairs:
        models, names = (stored[i], stored[j]), (facts[i].name, facts[j].name)
        problems = [*_half_tied(models, names, (ties[i], ties[j])), *_integers(models, names)]
        if problems:
            found[i, j] = problems
    return found


def _merged(facts: Facts, keep: Sequence[str]) -> Tensors:
    known = {name: tensor for name, tensor in (facts.stored or {}).items() if tensor.dtype in DTYPES}
    return {name: tensor for name, tensor in known.items() if not is_kept(name, keep)}


def _ties(tensors: Tensors) -> dict[str, str]:
    if not tensors:
        return {}
    return {name: first for name, first in tied_names([tensors]).items() if name != first and _varies(tensors[name])}


def _varies(tensor: Stored) -> bool:
    """Whether not all values are one: matrices that never moved from zero are equal by chance."""
    values = mapped(tensor).flatten()
    return bool((values != values[0]).any())


def _half_tied(
    models: tuple[Tensors, Tensors], names: tuple[str, str], ties: tuple[dict[str, str], dict[str, str]]
) -> Iterator[Problem]:
    for mine, theirs in ((0, 1), (1, 0)):
        for name, first in ties[mine].items():
            if {name, first} <= models[theirs].keys() and not tied(models[theirs], first, name):
                reason = f"{name} is {first} in {names[mine]}, and {names[theirs]} has one of its own"
                help = "untie the first one, or take that tensor from one model (--keep)"
                yield Problem(UNWISE, reason, help, "tied tensors")
                return


def _integers(models: tuple[Tensors, Tensors], names: tuple[str, str]) -> Iterator[Problem]:
    differing = [name for name, tensor in models[0].items() if _differ(name, tensor, models[1].get(name))]
    if differing:
        more = f" and {len(differing) - 1} more" if len(differing) > 1 else ""
        reason = f"{differing[0]}{more} has no mean and differs between {names[0]} and {names[1]}: the base's is taken"
        yield Problem(NOTED, reason, "", "integers")


def _differ(name: str, one: Stored, other: Stored | None) -> bool:
    exact = not (DTYPES[one.dtype].is_floating_point or DTYPES[one.dtype].is_complex)
    if not exact or other is None or name.endswith(COUNTER) or (one.dtype, one.shape) != (other.dtype, other.shape):
        return False
    return not torch.equal(mapped(one), mapped(other))
