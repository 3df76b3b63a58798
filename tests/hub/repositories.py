"""The test hub's repositories: a folder with owner/name/files, or name/files for models without an owner."""

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

LARGE = 10 * 2**20  # bytes; from here on, and for weights of any size, the Hub stores a file as a blob
STORED_APART = {".parquet", ".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".onnx", ".gguf", ".h5", ".msgpack", ".npz"}


def is_large(path: str, size: int) -> bool:
    """Whether the Hub keeps such a file outside git."""
    return size >= LARGE or Path(path).suffix in STORED_APART


@dataclass(frozen=True)
class StoredFile:
    """A file of a repository, as it is stored at one moment."""

    path: str  # inside the repository
    place: Path
    size: int
    modified: int  # nanoseconds

    @property
    def is_large(self) -> bool:
        """Whether the Hub keeps it outside git and sends clients elsewhere for it."""
        return is_large(self.path, self.size)

    @property
    def blob_id(self) -> str:
        """Git's name for the content."""
        return blob_id(self.place, self.modified)

    @property
    def sha256(self) -> str:
        """SHA-256 of the content."""
        return sha256(self.place, self.modified)

    def read(self, begin: int, end: int) -> bytes:
        """The bytes [begin, end)."""
        with self.place.open("rb") as opened:
            opened.seek(begin)
            return opened.read(end - begin)

    def entry(self) -> dict[str, Any]:
        """The file's row in a tree listing."""
        row: dict[str, Any] = {"type": "file", "oid": self.blob_id, "size": self.size, "path": self.path}
        if self.is_large:
            row["lfs"] = {"oid": self.sha256, "size": self.size, "pointerSize": 134}
        return row

    def sibling(self, details: bool) -> dict[str, Any]:
        """The file's row in a model's siblings; `details` adds size and hashes."""
        row: dict[str, Any] = {"rfilename": self.path}
        if details:
            row |= {"size": self.size, "blobId": self.blob_id}
        if details and self.is_large:
            row["lfs"] = {"sha256": self.sha256, "size": self.size, "pointerSize": 134}
        return row


@cache
def sha256(place: Path, modified: int) -> str:
    """SHA-256 of a file's content; `modified` keeps a changed file from being remembered as it was."""
    with place.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


@cache
def blob_id(place: Path, modified: int) -> str:
    """Git's blob id of a file's content."""
    content = place.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class Repositories:
    """A folder of repositories; nothing outside it is ever read."""

    def __init__(self, folder: Path | None) -> None:
        self._root = folder.resolve() if folder is not None else None

    def names(self) -> list[str]:
        """Every repository, sorted: a folder with files in it is a model without owner, else an owner."""
        names: list[str] = []
        for first in sorted(self._root.iterdir()) if self._root is not None else ():
            if any(child.is_file() for child in first.iterdir()):
                names.append(first.name)
            else:
                names += [f"{first.name}/{child.name}" for child in sorted(first.iterdir())]
        return names

    def has(self, name: str) -> bool:
        """Whether there is a folder for a model."""
        place = self._place(name)
        return place is not None and place.is_dir()

    def files(self, name: str) -> list[StoredFile]:
        """The files of a repository, by path."""
        place = self._place(name)
        if place is None:
            return []
        paths = sorted(path.relative_to(place).as_posix() for path in place.rglob("*") if path.is_file())
        return [found for path in paths if (found := self.file(name, path)) is not None]

    def file(self, name: str, path: str) -> StoredFile | None:
        """A file of a repository; None where it is absent or would lie outside the folder."""
        repository, place = self._place(name), self._place(f"{name}/{path}")
        if repository is None or place is None or not place.is_relative_to(repository) or not place.is_file():
            return None
        state = place.stat()
        return StoredFile(path, place, state.st_size, state.st_mtime_ns)

    def commit(self, name: str) -> str:
        """A commit id that changes when a file is added, removed or resized."""
        listing = [name, *(f"{file.path}:{file.size}" for file in self.files(name))]
        return hashlib.sha1("\n".join(listing).encode("utf-8", "surrogateescape")).hexdigest()

    def _place(self, path: str) -> Path | None:
        parts = path.split("/")
        if self._root is None or "\0" in path or not {"", ".", ".."}.isdisjoint(parts):
            return None
        place = self._root.joinpath(*parts).resolve()
        return place if place.is_relative_to(self._root) else None
