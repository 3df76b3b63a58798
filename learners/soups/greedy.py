"""Chooses a soup's ingredients one by one: the greedy soup."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from learners.soups.average import average


@dataclass(frozen=True)
class Trial:
    """One step of the search: what the soup would score with `member` (its index) in it, and whether it stays."""

    member: int
    score: float
    kept: bool


def greedy(
    population: Mapping[str, Tensor], order: Sequence[int], score: Callable[[dict[str, Tensor]], float]
) -> list[Trial]:
    """Add members in `order`, keeping each whose addition does not lower the score of the average.

    Args:
        population: Tensors `[N, ...]` by name.
        order: Indices of the members to try, best first; the first always stays.
        score: What an average is judged by, higher is better; never the test split.

    Source:
        Wortsman et al. 2022, "Model soups", recipe 1, https://arxiv.org/abs/2203.05482.
    """
    trials: list[Trial] = []
    best = float("-inf")
    for index in order:
        chosen = [trial.member for trial in trials if trial.kept]
        value = score(average({name: stacked[[*chosen, index]] for name, stacked in population.items()}))
        kept = not trials or value >= best
        best = value if kept else best
        trials.append(Trial(index, value, kept))
    return trials
