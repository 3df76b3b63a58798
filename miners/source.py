"""Reads the files of a folder or a tar archive that matter, without unpacking anything, and trusts none of them.

Links, devices and whatever is no plain file are not read. What lies outside of the folder or archive by its name
(absolute, or with `..` in it) is refused and named.
"""

import bz2
import gzip
import lzma
import os
import stat
import tarfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, NamedTuple, cast

from miners.bounded import Bounded, Overgrown
from miners.folders import readable
from miners.git_commit import COMMIT, checked_out
from schemas.errors import DataError, UsageError

LARGEST_FILE = 64 * 2**20  # bytes
MOST_HELD = 512 * 2**20  # bytes of all files that matter
MOST_FILES = 100_000  # that matter
MOST_SEEN = 1_000_000  # of any kind
POINTER_LIMIT = 1024  # bytes of a file that stands for weights elsewhere; weights themselves are larger
MOST_REFUSED = 1_000
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

    Paths are relative to the folder or archive; or to the one folder in it that the hub's files lie in, as in archives
    of GitHub's. That is so if a file matters only by its path in that folder, and none only by its whole path.

    Raises:
        UsageError: `place` does not exist, or has no file that matters, or has them in several such folders.
        DataError: the archive is damaged, cut off, or unpacks to more than is sensible; or the files are too many.
    """
    found = _Collector(wanted)
    if place.is_dir():
        try:
            _walk(place, found)
        except DataError as error:
            raise DataError(f"{place} is refused: {error}") from error
        commit = None
    elif place.is_file():
        commit = _unpack(place, found)
    else:
        raise UsageError(f"{place} does not exist; name a folder or a tar archive")
    top = _top(place, found)
    files = found.files(top)
    if not files and not found.refused:
        raise UsageError(f"{place} holds none of the hub's files; name a checkout of its repository, or a tar archive")
    folder = place / (top or "") if place.is_dir() else None
    return Contents(files, found.refused, checked_out(folder) if folder else commit, folder=folder)


def _top(place: Path, found: "_Collector") -> str | None:
    """Give the folder in the source that the hub's files lie in; None if that is the source itself."""
    if found.is_outer or not found.inner:
        return None
    if len(found.tops) > 1:
        one, two = (repr(name[:80]) for name in sorted(found.tops)[:2])
        raise UsageError(
            f"{place} holds the hub's files in several folders, as {one} and {two}; name a single checkout"
        )
    return min(found.inner)


class _File(NamedTuple):
    path: str
    body: bytes
    is_outer: bool
    is_inner: bool


class _Collector:
    """Takes the files that matter, by their whole paths or by those without the outermost folder.

    `is_outer` says whether a file matters by its whole path only, `inner` names the outermost folders of those that
    matter only without them, and `tops` those of all files that matter.
    """

    def __init__(self, wanted: Wanted) -> None:
        self.refused: dict[str, str] = {}
        self.is_outer = False
        self.inner: set[str] = set()
        self.tops: set[str] = set()
        self._wanted = wanted
        self._files: list[_File] = []
        self._held = self._seen = self._mattering = 0

    def files(self, top: str | None) -> dict[str, bytes]:
        """Give the files that matter by their whole paths or, with `top`, by those inside of it."""
        if top is None:
            return {file.path: file.body for file in self._files if file.is_outer}
        return {file.path.partition("/")[2]: file.body for file in self._files if file.is_inner}

    def offer(self, path: str, size: int, is_plain: bool, read: Callable[[], bytes]) -> None:
        """Take a file if it matters."""
        self._seen += 1
        if self._seen > MOST_SEEN:
            raise DataError(f"it has more than {MOST_SEEN} files; name one with the hub's repository only")
        parts = [part for part in path.split("/") if part not in ("", ".")]
        if path.startswith("/") or ".." in parts or "\\" in path:
            return self._refuse(path, "its path leads out of the source")
        whole, inside = "/".join(parts), "/".join(parts[1:])
        is_outer, is_inner = self._wanted(whole, size), len(parts) > 1 and self._wanted(inside, size)
        if not is_outer and not is_inner:
            return None
        self._note(parts, is_outer, is_inner)
        if not is_plain:
            return self._refuse(path, "a link, a device or another thing that is no plain file")
        if size > LARGEST_FILE:
            return self._refuse(path, f"{size} bytes, at most {LARGEST_FILE} are read")
        body = read()
        self._held += len(body)
        if self._held > MOST_HELD:
            raise DataError(f"its files have more than {MOST_HELD} bytes together")
        self._files.append(_File(whole, body, is_outer, is_inner))
        return None

    def _note(self, parts: list[str], is_outer: bool, is_inner: bool) -> None:
        self._mattering += 1
        if self._mattering > MOST_FILES:
            raise DataError(
                f"it has more than {MOST_FILES} files that look like the hub's; name one with the hub's repository only"
            )
        self.is_outer = self.is_outer or not is_inner
        self.tops.add(parts[0])
        if not is_outer:
            self.inner.add(parts[0])

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
            bounded = Bounded(_unpacked(opened, start), LARGEST_FILE, place.stat().st_size)
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
