"""Turns torch's refusal to differentiate into a reason that can be written down."""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from schemas import UsageError

UNDIFFERENTIABLE = ("does not require grad", "is not implemented", "not differentiable", "not have been used")
P = ParamSpec("P")
R = TypeVar("R")


def differentiable(measure: Callable[P, R]) -> Callable[P, R]:
    """Wrap a measurement that differentiates the loss.

    Raises:
        UsageError: The loss cannot be differentiated as often as that takes.
    """

    @wraps(measure)
    def guarded(*arguments: P.args, **options: P.kwargs) -> R:
        try:
            return measure(*arguments, **options)
        except RuntimeError as error:
            if any(words in str(error) for words in UNDIFFERENTIABLE):
                raise UsageError(f"the loss cannot be differentiated: {' '.join(str(error).split())}") from error
            raise

    return guarded
