"""Floating point types by name: those that passes may be made in, and those that weights may be turned into."""

import torch

from schemas.errors import UsageError
from zoo.mistakes import expected_one_of

PRECISIONS = {"bfloat16": torch.bfloat16}
FLOATING = {
    str(kind).removeprefix("torch."): kind for kind in (torch.float16, torch.bfloat16, torch.float32, torch.float64)
}


def precision_of(name: str | None) -> torch.dtype | None:
    """Give the type of this name, None for none; raise UsageError for any other."""
    if name is None:
        return None
    if name not in PRECISIONS:
        raise UsageError(f"precision {name!r}: {expected_one_of(name, PRECISIONS)}")
    return PRECISIONS[name]


def floating_type(dtype: torch.dtype | str | None) -> torch.dtype | None:
    """Give the floating point type that is meant, by its name too, None for None; raise UsageError for others."""
    if dtype is None or (isinstance(dtype, torch.dtype) and dtype.is_floating_point):
        return dtype
    name = str(dtype).removeprefix("torch.")
    if name not in FLOATING or not isinstance(dtype, str):
        raise UsageError(f"dtype {name!r}: weights stay floating point numbers; {expected_one_of(name, FLOATING)}")
    return FLOATING[name]
