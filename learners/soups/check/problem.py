"""Something that speaks against merging two models, or that one should know, and which of several comes first."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

IMPOSSIBLE, UNWISE, NOTED = "impossible", "unwise", "noted"
SEVERITY = (NOTED, UNWISE, IMPOSSIBLE)
START, ALIGNED, BARRIER = "start", "alignment", "barrier"
STARTS = (START, ALIGNED)
GRAVEST = (START, ALIGNED, BARRIER)
"""Kinds that come before others of their severity: of such models the mean collapses, whatever else is mended."""


@dataclass(frozen=True)
class Problem:
    """Something that speaks against merging two models, or that one should know.

    Attributes:
        severity: impossible, unwise or noted.
        reason: What is the matter, with both values.
        help: What would help; empty where nothing would.
        kind: What it is about; `start` is the question that weights can answer where lineage does not, and `alignment`
            the one that a barrier answers.
        final: Whether only other models help, so that what helps against lesser problems is in vain.
        model: The model whose own it is; empty for what is between two.
    """

    severity: str
    reason: str
    help: str = ""
    kind: str = ""
    final: bool = False
    model: str = ""

    @property
    def gravity(self) -> tuple[int, int]:
        """What problems are sorted by, worst first."""
        rank = GRAVEST.index(self.kind) if self.kind in GRAVEST else len(GRAVEST)
        return -SEVERITY.index(self.severity), rank


def worst_first(problems: Iterable[Problem]) -> list[Problem]:
    """Sort by severity, and within it what other mending would be in vain for before the rest."""
    return sorted(problems, key=lambda problem: problem.gravity)


def helped(problems: Iterable[Problem]) -> list[Problem]:
    """The problems of one pair, worst first, without help that would not help: where only other models do."""
    found: list[Problem] = []
    for problem in worst_first(problems):
        in_vain = any(worse.final for worse in found)
        found.append(replace(problem, help="") if in_vain else problem)
    return found
