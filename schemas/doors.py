"""Lets a room's door name what it offers without importing it before it is asked for."""

import sys
from collections.abc import Callable, Mapping
from importlib import import_module


def lazily(room: str, homes: Mapping[str, str]) -> Callable[[str], object]:
    """Make the module-level `__getattr__` of `room`: name -> the module that defines it, imported on first use.

    So the numerical core of a room can be imported where DuckDB and polars are absent, and the command line starts
    without torch.

    Raises:
        AttributeError: from the returned function, for a name that the room does not offer.
    """

    def get(name: str) -> object:
        if name not in homes:
            raise AttributeError(f"module {room!r} has no attribute {name!r}")
        value = getattr(import_module(homes[name]), name)
        setattr(sys.modules[room], name, value)
        return value

    return get
