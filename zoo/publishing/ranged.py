"""Lets DuckDB read tables of a hub by ranges of bytes: a file system for fsspec, whose files are never whole."""

import io
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from fsspec import AbstractFileSystem  # type: ignore[import-untyped] # it ships no types

from zoo.publishing.pieces import Pieces
from zoo.publishing.ranges import Range

SCHEME = "published"


class RangedFiles(AbstractFileSystem):  # type: ignore[misc] # its types are not known
    """The files of a published dataset that never change: those of one commit.

    What goes wrong while DuckDB reads is kept in `error`, since DuckDB makes a text of it.
    """

    protocol = SCHEME
    cachable = False

    def __init__(self, sizes: Mapping[str, int], fetch: Callable[[str, Range], bytes]) -> None:
        super().__init__()
        self._sizes = sizes
        self._fetch = fetch
        self._pieces: dict[str, Pieces] = {}
        self.error: Exception | None = None

    def pieces(self, path: str) -> Pieces:
        """What was fetched of a file, which is kept from query to query."""
        return self._pieces.setdefault(path, Pieces(self._sizes[path], lambda asked: self._fetch(path, asked)))

    def open(self, path: str, mode: str = "rb", **_: object) -> io.RawIOBase:
        """Open a file for reading."""
        return _RangedFile(self, self.pieces(self._strip_protocol(path)))

    def info(self, path: str, **_: object) -> dict[str, Any]:
        """Name and size of a file."""
        return {"name": path, "size": self._sizes[self._strip_protocol(path)], "type": "file"}

    def glob(self, path: str, **_: object) -> list[str]:
        """The path itself: files are named one by one."""
        return [path]

    def modified(self, path: str) -> datetime:
        """The same for all, since a commit does not change."""
        return datetime(2020, 1, 1, tzinfo=UTC)


class _RangedFile(io.RawIOBase):
    def __init__(self, files: RangedFiles, pieces: Pieces) -> None:
        self._files, self._pieces, self._at = files, pieces, 0
        self.size = pieces.size

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self.size}[whence]
        return self._at

    def read(self, size: int = -1) -> bytes:
        try:
            content = self._pieces.read(self._at, self.size if size < 0 else self._at + size)
        except Exception as error:
            self._files.error = error
            raise
        self._at += len(content)
        return content
