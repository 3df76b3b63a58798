"""Zip archives whose directory and members are read in pieces; nothing is unpacked to disk."""

import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from miners.headers.source import AHEAD, Source
from schemas.errors import DataError

MAGIC = (b"PK\x03\x04", b"PK\x05\x06")
LONGEST_DIRECTORY = 2**23  # bytes; about 100,000 members
LONGEST_PART = 2**26  # bytes that are read of a member at once
LARGE = 2**24  # bytes of a file, from which on its directory is expected to be long
LARGE_TAIL = 2**18  # bytes; about 3,000 members
LOCAL_HEADER = 30 + 2**9  # bytes before a member's content, with room for its name and extra fields
UNREADABLE = (BadZipFile, zlib.error, NotImplementedError, RuntimeError, ValueError, EOFError, OverflowError, OSError)


class _File(io.RawIOBase):
    """A source as a file object that can be read and sought."""

    def __init__(self, source: Source, size: int) -> None:
        self._source = source
        self._size = size
        self._position = 0
        self.most = LONGEST_DIRECTORY

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        if start + offset < 0:
            raise ValueError(f"position {start + offset} lies before the file")
        self._position = start + offset
        return self._position

    def read(self, size: int = -1) -> bytes:
        end = self._size if size < 0 else min(self._position + size, self._size)
        if end - self._position > self.most:
            raise DataError(
                f"the archive would take {end - self._position} bytes at once, at most {self.most} are read"
            )
        data = self._source.read(self._position, end)
        self._position += len(data)
        return data


@contextmanager
def archive(source: Source) -> Iterator[ZipFile]:
    """Open a zip archive; its directory is taken from the file's end in one piece, unless it is a long one.

    Raises DataError, also for what goes wrong inside of the block: damaged, encrypted or split archives, unknown
    compression, a directory that is too long.
    """
    if source.read(0, 4) not in MAGIC:
        raise DataError("the file is no zip archive")
    if source.size is None:
        raise DataError("the file's size is not known, so that the directory at its end cannot be found")
    tail = AHEAD if source.size < LARGE else LARGE_TAIL
    source.read(max(0, source.size - tail), source.size)
    try:
        file = _File(source, source.size)
        with ZipFile(file) as opened:
            file.most = LONGEST_PART
            yield opened
    except UNREADABLE as error:
        raise DataError(f"the zip archive cannot be read: {str(error)[:200] or type(error).__name__}") from error


def content(source: Source, opened: ZipFile, member: ZipInfo, most: int, least: int | None = None) -> bytes:
    """Give a member's bytes, fetched in one piece; with `least` so many of them, and no more than they take.

    Raises DataError if there are more than `most`, and what `archive` says.
    """
    if member.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
        raise DataError(
            f"{member.filename[:80]!r} is compressed in a way (method {member.compress_type}) that is not read"
        )
    if least is None and member.file_size > most:
        raise DataError(f"{member.filename[:80]!r} has {member.file_size} bytes, at most {most} are read")
    begin = member.header_offset
    ahead = LOCAL_HEADER + (member.compress_size if least is None else least)
    source.read(begin, begin + 1, max(AHEAD, min(ahead, most)))
    with opened.open(member) as stream:
        data = stream.read(most + 1 if least is None else least)
    if len(data) > most:
        raise DataError(f"{member.filename[:80]!r} has more than {most} bytes")
    return data
