"""Files that are there whole or not at all: written beside their place and renamed into it."""

import os
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile

from schemas.errors import OutsideError, UsageError

UNFINISHED = ".unfinished"
"""Ending of files and folders that are still being written, or whose writer was killed."""
LEFT_SECONDS = 3600.0
"""What is half written and has not changed for so long has no writer any more."""


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


def check_folder(folder: Path) -> None:
    """Make a folder, if it is not there; raises OutsideError, before any work, unless it can be written to."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OutsideError(f"cannot write to {folder}: {error.strerror or error}") from error


def check_file(path: Path) -> None:
    """Make the folder of a file that is to be written, if it is not there, before any work.

    Raises:
        UsageError: it is a folder.
        OutsideError: the folder cannot be made or written to.
    """
    if path.is_dir():
        raise UsageError(f"{path} is a folder; name a file")
    check_folder(path.parent)


def unfinished(folder: Path) -> list[Path]:
    """Everything below a folder that is half written, sorted; of a folder that is, nothing that lies in it."""
    found: list[Path] = []
    for path in sorted(folder.rglob(f".*{UNFINISHED}")):
        if not any(parent in path.parents for parent in found):
            found.append(path)
    return found


def tidy(folder: Path) -> Iterator[Path]:
    """Delete what killed writers have left half written below a folder for an hour; gives what is gone."""
    for path in unfinished(folder):
        if path.is_symlink() or _changed(path) > time.time() - LEFT_SECONDS:
            continue
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
        yield path


def _changed(path: Path) -> float:
    """When a file, or anything in a folder, was last changed; now, where that cannot be told."""
    try:
        return max(each.lstat().st_mtime for each in (path, *path.rglob("*")))
    except OSError:
        return time.time()
