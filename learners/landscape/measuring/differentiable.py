"""Turns errors of networks that run or are differentiated into reasons that can be written down."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from traceback import walk_tb
from typing import ParamSpec, TypeVar

import torch

from schemas import UsageError
from schemas.errors import WeightlakeError
from zoo.memory import is_short

UNDIFFERENTIABLE = ("does not require grad", "is not implemented", "not differentiable", "not have been used")
RUNS = torch.nn.Module._call_impl.__code__
"""What every network runs through."""
AUTOGRAD = Path(torch.autograd.__file__).parent
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
                raise UsageError(f"the loss cannot be differentiated: {_said(error)}") from error
            raise

    return guarded


@contextmanager
def of_a_caller(given: bool) -> Iterator[None]:
    """Take errors for a caller's own where a network that was `given` raises them, as it runs or is differentiated.

    All others pass, and so does a lack of memory.

    Raises:
        UsageError: In place of such an error.
    """
    try:
        yield
    except WeightlakeError:
        raise
    except Exception as error:
        if not given or is_short(error) or not _is_of_network(error):
            raise
        raise UsageError(f"the network fails as it is measured: {type(error).__name__}: {_said(error)}") from error


def _is_of_network(error: Exception) -> bool:
    codes = [frame.f_code for frame, _ in walk_tb(error.__traceback__)]
    return any(code is RUNS or Path(code.co_filename).parent == AUTOGRAD for code in codes)


def _said(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
