"""The formats that zoos from elsewhere come in."""

from pathlib import Path
from types import ModuleType

from schemas import UsageError
from zoo.exchange import ray_tune, small_cnn, state_dicts
from zoo.mistakes import expected_one_of
from zoo.publishing.folder import is_published

FORMATS: dict[str, ModuleType] = {module.FORMAT: module for module in (ray_tune, small_cnn, state_dicts)}
"""Modules with `recognises`, `read` and `write`, by their format's name."""


def format_of(root: Path, name: str | None) -> ModuleType:
    """The format of this name, or without one the first that knows the folder.

    Raises:
        UsageError: There is no such format, none knows the folder, or it is none.
    """
    if name is not None and name not in FORMATS:
        raise UsageError(f"format {name!r}: {expected_one_of(name, FORMATS)}")
    if not root.is_dir():
        raise UsageError(f"{root} is no folder; expected one that holds a zoo")
    if name is not None:
        return FORMATS[name]
    for module in FORMATS.values():
        if module.recognises(root):
            return module
    if is_published(root):
        raise UsageError(f"{root} is a published dataset, which load_population({str(root)!r}, ...) reads where it is")
    raise UsageError(
        f"{root} is in none of the formats {', '.join(sorted(FORMATS))}; docs/other_zoos.md says what each holds"
    )
