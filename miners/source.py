"""Reads the files of a folder or a tar archive that matter, without unpacking anything, and trusts none of them.

Links, devices and whatever is no plain file are not read. What lies outside of the folder or archive by its name
(absolute, or with `..` in it) is refused and named.
"""

import bz2
import gzip
import lzma
import os
import re
import stat
import tarfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, cast

from miners.bounded import Bounded, Overgrown
from miners.folders import readable
from schemas.errors import DataError, UsageError

LARGEST_FILE = 64 * 2**20  # bytes
MOST_HELD = 512 * 2**20  # bytes of all files that matter
MOST_FILES = 100_000
POINTER_LIMIT = 1024  # bytes of a file that stands for weights elsewhere; weights themselves are larger
MOST_REFUSED = 1_000
COMMIT = re.compile(r"[0-9a-f]{40}")
BROKEN = (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, OSError, ValueError, OverflowError, RecursionError)

Wanted = Callable[[str, int], bool]


@dataclass
class Contents:
    """The files of a source that matter, by path, what was refused and why, and the commit where the source says it.

    `incomplete` names packages of which a site has not given everything, `folder` is where the files lie, if they do.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    commit: str | None = None
    incomplete: set[str] = field(default_factory=set)
    folder: Path | None = None


def contents(place: Path, wanted: Wanted) -> Contents:
    """Read the files for which `wanted(path, size)` holds from a folder or a tar archive (plain, gzip, bzip2 or xz).

    Paths are relative to the folder or archive; where that has no file that matters but in one folder that all is in,
    as archives of GitHub's are, to that folder.

    Raises:
        UsageError: `place` does not exist, or has no file that matters.
        DataError: the archive is damaged, cut off, or unpacks to more than is sensible.
    """
    if place.is_dir():
        found = _Collector(wanted)
        _walk(place, found)
        commit = _checked_out(place)
    elif place.is_file():
        found = _Collector(wanted)
        commit = _unpack(place, found)
    else:
        raise UsageError(f"{place} does not exist; name a folder or a tar archive")
    files = found.outer or found.inner
    if not files and not found.refused:
        raise UsageError(f"{place} holds none of the hub's files; name a checkout of its repository, or a tar archive")
    return Contents(files, found.refused, commit, folder=_base(place, bool(found.outer)))


def _base(place: Path, is_outer: bool) -> Path | None:
    """Give the folder that the paths of its files are relative to."""
    if is_outer or not place.is_dir():
        return place if place.is_dir() else None
    inner = [entry for entry in place.iterdir() if entry.is_dir() and not entry.is_symlink()]
    return inner[0] if len(inner) == 1 else None


class _Collector:
    """Takes the files that matter, under their whole paths and under those without the outermost folder."""

    def __init__(self, wanted: Wanted) -> None:
        self.outer: dict[str, bytes] = {}
        self.inner: dict[str, bytes] = {}
        self.refused: dict[str, str] = {}
        self._wanted = wanted
        self._held = self._seen = 0

    def offer(self, path: str, size: int, is_plain: bool, read: Callable[[], bytes]) -> None:
        """Take a file if it matters."""
        self._seen += 1
        if self._seen > MOST_FILES:
            raise DataError(f"more than {MOST_FILES} files")
        parts = [part for part in path.split("/") if part not in ("", ".")]
        if path.startswith("/") or ".." in parts or "\\" in path:
            return self._refuse(path, "its path leads out of the source")
        whole, inside = "/".join(parts), "/".join(parts[1:])
        as_outer, as_inner = self._wanted(whole, size), len(parts) > 1 and self._wanted(inside, size)
        if not as_outer and not as_inner:
            return None
        if not is_plain:
            return self._refuse(path, "a link, a device or another thing that is no plain file")
        if size > LARGEST_FILE:
            return self._refuse(path, f"{size} bytes, at most {LARGEST_FILE} are read")
        body = read()
        self._held += len(body)
        if self._held > MOST_HELD:
            raise DataError(f"its files have more than {MOST_HELD} bytes together")
        self.outer.update({whole: body} if as_outer else {})
        self.inner.update({inside: body} if as_inner else {})
        return None

    def _refuse(self, path: str, reason: str) -> None:
        if len(self.refused) == MOST_REFUSED:
            raise DataError(f"more than {MOST_REFUSED} of its files are refused, the last one because: {reason}")
        self.refused[path] = reason


def _walk(folder: Path, found: _Collector) -> None:
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name != ".git")
        for name in sorted(names):
            place = Path(parent) / name
            path = readable(place.relative_to(folder).as_posix())
            try:
                state = place.lstat()
                found.offer(path, state.st_size, stat.S_ISREG(state.st_mode), place.read_bytes)
            except OSError as error:
                found.refused[path] = f"cannot be read: {error.strerror}"


def _unpack(place: Path, found: _Collector) -> str | None:
    try:
        with place.open("rb") as opened:
            start = opened.read(6)
            opened.seek(0)
            bounded = Bounded(_unpacked(opened, start), LARGEST_FILE)
            with tarfile.open(fileobj=cast("IO[bytes]", bounded), mode="r:") as archive:
                for member in _members(archive):
                    is_plain = member.isreg() and not member.issparse()
                    found.offer(readable(member.name), member.size, is_plain, partial(_body, archive, member))
                bounded.check_end()
                comment = archive.pax_headers.get("comment", "")
    except (Overgrown, DataError) as error:
        raise DataError(f"{place} is refused: {error}") from error
    except BROKEN as error:
        raise DataError(f"{place} is no readable tar archive: {error or type(error).__name__}") from error
    return comment if COMMIT.fullmatch(comment) else None


def _unpacked(opened: IO[bytes], start: bytes) -> IO[bytes]:
    """Give the stream behind a compressed one, as its first bytes tell; another is given as it is."""
    if start.startswith(b"\x1f\x8b"):
        return cast("IO[bytes]", gzip.open(opened))
    if start.startswith(b"BZh"):
        return cast("IO[bytes]", bz2.open(opened))
    return cast("IO[bytes]", lzma.open(opened)) if start.startswith(b"\xfd7zXZ\0") else opened


def _members(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """Give the members that are no folders, and let go of each: an archive may have a million."""
    while member := archive.next():
        if not member.isdir():
            yield member
        archive.members = []  # type: ignore[attr-defined]  # the one place where tarfile remembers them


def _body(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    opened = archive.extractfile(member)
    body = opened.read() if opened else b""
    if len(body) != member.size:
        raise DataError(f"it ends inside of {readable(member.name)}")
    return body


def _checked_out(folder: Path) -> str | None:
    """Give the commit that a git checkout is at."""
    try:
        head = (folder / ".git" / "HEAD").read_text(encoding="ascii").strip()
        if head.startswith("ref: refs/") and ".." not in head:
            head = (folder / ".git" / head.removeprefix("ref: ")).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None
    return head if COMMIT.fullmatch(head) else None
