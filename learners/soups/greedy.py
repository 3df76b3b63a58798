"""Chooses a soup's ingredients one by one: the greedy soup."""

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from learners.soups.average import average
from schemas.errors import UsageError
from zoo.randomness import generator

ACCEPT: dict[str, Callable[[float, float], bool]] = {">": operator.gt, ">=": operator.ge}
"""When a candidate's score is good enough to go on with it."""


@dataclass(frozen=True)
class Trial:
    """One step of the search: what the soup would score after `action`, and whether it stays so.

    Attributes:
        member: Index of the model that is added or removed.
        score: The candidate's score.
        kept: Whether the search goes on with it.
        action: add or remove.
        turn: Which time the models are gone through, from 1.
        restart: Which order it belongs to; 0 is the given one.
        candidate: Indices of the models that were averaged, sorted.
    """

    member: int
    score: float
    kept: bool
    action: str = "add"
    turn: int = 1
    restart: int = 0
    candidate: tuple[int, ...] = ()


Score = Callable[[tuple[int, ...]], float]
"""Scores the average of the models of these indices; higher is better; never on the test split."""


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

    def of_members(members: tuple[int, ...]) -> float:
        return score(average({name: stacked[list(members)] for name, stacked in population.items()}))

    return search(order, of_members)


def search(
    order: Sequence[int],
    score: Score,
    *,
    accept: str = ">=",
    passes: int = 1,
    removal: bool = False,
    restarts: int = 0,
    seed: int = 0,
    note: Callable[[Trial], None] | None = None,
) -> list[Trial]:
    """Search for the models whose average scores best, with everything that the greedy recipe leaves open.

    Args:
        order: Indices of the models to try, best first; the first always stays.
        score: What an average is judged by.
        accept: `>=` keeps what does not lower the score, `>` only what raises it.
        passes: How often those that were left out are tried again, until nothing changes.
        removal: After each pass, try to take each model out again.
        restarts: Orders that are drawn and searched beside the given one.
        seed: What is drawn hangs on it.
        note: Is called with each trial.

    Returns:
        All trials; `chosen` says which models the best order has ended with.

    Raises:
        UsageError: An option cannot be.
    """
    if accept not in ACCEPT:
        raise UsageError(f"accept = {accept!r}: choose one of: {', '.join(ACCEPT)}")
    for name, value, least in (("passes", passes, 1), ("restarts", restarts, 0)):
        if value < least:
            raise UsageError(f"{name} = {value}: expected at least {least}")
    source = generator("greedy restarts", seed)
    orders = [list(order)]
    orders += [[order[i] for i in torch.randperm(len(order), generator=source).tolist()] for _ in range(restarts)]
    trials: list[Trial] = []
    for restart, each in enumerate(orders):
        _Search(score, ACCEPT[accept], restart, trials, note).run(each, passes, removal)
    return trials


def chosen(trials: Sequence[Trial]) -> list[int]:
    """The models that the search has ended with: those of the kept candidate with the best score, the first such."""
    last = {trial.restart: trial for trial in trials if trial.kept}
    return list(max(last.values(), key=lambda trial: (trial.score, -trial.restart)).candidate)


class _Search:
    """One order on its way."""

    def __init__(
        self,
        score: Score,
        better: Callable[[float, float], bool],
        restart: int,
        trials: list[Trial],
        note: Callable[[Trial], None] | None,
    ) -> None:
        self.score, self.better, self.restart, self.trials, self.note = score, better, restart, trials, note
        self.members: list[int] = []
        self.best = float("-inf")

    def run(self, order: Sequence[int], passes: int, removal: bool) -> None:
        for turn in range(1, passes + 1):
            before = list(self.members)
            for member in order:
                if member not in self.members:
                    self._try(member, "add", turn)
            if removal:
                for member in list(self.members):
                    if len(self.members) > 1:
                        self._try(member, "remove", turn)
            if self.members == before:
                break

    def _try(self, member: int, action: str, turn: int) -> None:
        members = [each for each in self.members if each != member] + [member] * (action == "add")
        candidate = tuple(sorted(members))
        value = self.score(candidate)
        kept = not self.members or (value > self.best if action == "remove" else self.better(value, self.best))
        if kept:
            self.best, self.members = value, members
        trial = Trial(member, value, kept, action, turn, self.restart, candidate)
        self.trials.append(trial)
        if self.note:
            self.note(trial)
