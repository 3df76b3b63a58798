"""The smaller floating point types that forward and backward passes may be made in."""

import torch

from schemas.errors import UsageError
from zoo.mistakes import expected_one_of

PRECISIONS = {"bfloat16": torch.bfloat16}


def precision_of(name: str | None) -> torch.dtype | None:
    """Give the type of this name, None for none; raise UsageError for any other."""
    if name is None:
        return None
    if name not in PRECISIONS:
        raise UsageError(f"precision {name!r}: {expected_one_of(name, PRECISIONS)}")
    return PRECISIONS[name]
