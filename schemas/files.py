"""Files that are there whole or not at all: written beside their place and renamed into it."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from schemas.errors import OutsideError

UNFINISHED = ".unfinished"
"""Ending of files that are still being written, or whose writer was killed."""


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Yield a path beside `path` to write to; at the end of the block it is renamed to `path`.

    Makes the folder. When the block raises, `path` stays as it was and nothing is left beside it.

    Raises:
        OutsideError: the disk is full, or the place cannot be written.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}{UNFINISHED}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield beside
        with beside.open("rb") as written:
            os.fsync(written.fileno())
        beside.replace(path)
    except OSError as error:
        raise OutsideError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            beside.unlink()


def write_whole(path: Path, content: bytes) -> None:
    """Write a file of this content, whole or not at all; errors as in `written_whole`."""
    with written_whole(path) as beside:
        beside.write_bytes(content)
