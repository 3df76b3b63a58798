"""How far the weights of two models are apart: as they lie, and after the second one's units were moved to match."""

from collections.abc import Sequence

from torch import Tensor

from learners.landscape.measuring.group import Columns, Group, found
from learners.landscape.measuring.metrics import Settings
from learners.landscape.similarity.distance import cosine_distance, l2_distance
from learners.soups.alignment.specification import Specification
from learners.soups.alignment.tracing import permutations_of
from learners.soups.alignment.weight_matching import weight_matching
from schemas import UsageError
from zoo.architectures.pinn import POINT
from zoo.population import flatten, member, stack

Pair = tuple[int, int]


def distances(group: Group, pairs: Sequence[Pair], settings: Settings) -> Columns:
    """Euclidean and cosine distance of the parameters."""
    measured = {"l2_distance": l2_distance(group.matrix), "cosine_distance": cosine_distance(group.matrix)}
    return {name: [[found(value[pair], None, None)] for pair in pairs] for name, value in measured.items()}


def aligned_distances(group: Group, pairs: Sequence[Pair], settings: Settings) -> Columns:
    """The same after weight matching: between the first model and the permuted twin of the second."""
    specification = _specification(group)
    columns: Columns = {"aligned_l2_distance": [], "aligned_cosine_distance": []}
    for pair in pairs:
        first, second = ({n: t.cpu() for n, t in member(group.weights, number).items()} for number in pair)
        match = weight_matching(specification, first, second, int(settings["orders"]))
        both = _parameters(group, [first, specification.permute(second, match.permutations)])
        columns["aligned_l2_distance"].append([found(l2_distance(both)[0, 1], None, None)])
        columns["aligned_cosine_distance"].append([found(cosine_distance(both)[0, 1], None, None)])
    return columns


def _specification(group: Group) -> Specification:
    """What of a network may be permuted.

    Raises:
        UsageError: It cannot be watched while it computes.
    """
    sample = group.dataset.train.x[:1]
    try:
        return permutations_of(group.module, sample[:, :POINT] if group.physical else sample)
    except RuntimeError as error:
        raise UsageError(f"the network cannot be aligned: {' '.join(str(error).split())[:200]}") from error


def _parameters(group: Group, models: Sequence[dict[str, Tensor]]) -> Tensor:
    return flatten(stack([{name: model[name] for name in group.parameter_names} for model in models]))
