"""Models that have values which are infinite or not a number: no mean is made of them."""

from collections.abc import Mapping

from learners.soups.check.problem import IMPOSSIBLE, Problem
from learners.soups.files.mapped import is_finite, mapped
from learners.soups.files.stored import Stored


def first_not_finite(stored: Mapping[str, Stored]) -> str:
    """Name of the first tensor that has values that are infinite or NaN; empty where none has."""
    return next((name for name, tensor in stored.items() if not is_finite(mapped(tensor))), "")


def not_finite(who: str, name: str) -> Problem:
    """What is said of a model with such a tensor."""
    return Problem(IMPOSSIBLE, f"{who} has values that are not finite, in {name}", "leave that model out", "values")
