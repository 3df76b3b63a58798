"""What a published dataset is read from: a folder here, or a hub; only bytes that are asked for."""

import os
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Protocol

from duckdb import DuckDBPyConnection

from schemas.errors import DataError, UsageError
from zoo.publishing.ranges import Range


class Source(Protocol):
    """The files of a published dataset."""

    @property
    def name(self) -> str:
        """What messages call it."""

    @property
    def sizes(self) -> Mapping[str, int]:
        """Bytes of every file, by its path."""

    def attach(self, opened: DuckDBPyConnection, paths: Sequence[str]) -> list[str]:
        """Names under which a connection of DuckDB reads these files."""

    def complain(self) -> None:
        """Raise what kept DuckDB from reading, if it was not the files themselves."""

    def read(self, path: str, ranges: Sequence[Range]) -> Iterator[bytes]:
        """The bytes of each range of a file, in their order."""


class FolderSource:
    """A published dataset in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        if not folder.is_dir():
            raise UsageError(f"{folder} is no folder; expected a published dataset, or hf:owner/name")

    @property
    def name(self) -> str:
        """The folder's path."""
        return str(self.folder)

    @cached_property
    def sizes(self) -> Mapping[str, int]:
        """Bytes of every file, by its path."""
        files = (path for path in self.folder.rglob("*") if path.is_file())
        return {path.relative_to(self.folder).as_posix(): path.stat().st_size for path in files}

    def attach(self, opened: DuckDBPyConnection, paths: Sequence[str]) -> list[str]:
        """The files' places."""
        return [str(self.folder / path) for path in paths]

    def complain(self) -> None:
        """Nothing is between DuckDB and a file."""

    def read(self, path: str, ranges: Sequence[Range]) -> Iterator[bytes]:
        """Read ranges; raises DataError where the file has not so many bytes."""
        with (self.folder / path).open("rb") as file:
            for begin, end in ranges:
                found = os.pread(file.fileno(), end - begin, begin)
                if len(found) < end - begin:
                    raise DataError(f"{self.folder / path} ends before byte {end}; publish it again")
                yield found
