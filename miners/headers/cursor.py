"""Walks through a file from front to back, number by number, without fetching what is skipped."""

import struct
from typing import Any

from miners.fields import LARGEST
from miners.headers.source import AHEAD, Source
from schemas.errors import DataError


class Cursor:
    """A position in a file. Every method raises DataError where the file ends too early."""

    def __init__(self, source: Source, ahead: int = AHEAD) -> None:
        self._source = source
        self._window = b""
        self._begin = 0  # of the window in the file
        self._offset = 0  # of the position in the window
        self.ahead = ahead

    @property
    def position(self) -> int:
        """Bytes of the file that lie behind."""
        return self._begin + self._offset

    @property
    def at_end(self) -> bool:
        """Whether the file ends here."""
        return self._offset >= len(self._window) and not self._more(1)

    def take(self, length: int) -> bytes:
        """Give the next bytes."""
        end = self._offset + length
        if end > len(self._window):
            if not self._more(length):
                raise DataError(f"the file ends inside its header, which goes on to byte {self.position + length}")
            end = self._offset + length
        data = self._window[self._offset : end]
        self._offset = end
        return data

    def skip(self, length: int) -> None:
        """Leave out the next bytes; only that the file may be that long is checked."""
        end = self.position + length
        size = self._source.size
        if end > (LARGEST if size is None else size):
            raise DataError(f"the file ends at byte {size}, before the {length} bytes at {self.position} do")
        self._offset += length
        if self._offset > len(self._window):
            self._window, self._begin, self._offset = b"", end, 0

    def number(self, kind: struct.Struct) -> Any:
        """Give the next number, as the struct of one field tells."""
        return kind.unpack(self.take(kind.size))[0]

    def _more(self, least: int) -> bool:
        position = self.position
        if position + least > (LARGEST if self._source.size is None else self._source.size):
            return False
        self._window = self._source.window(position, least, self.ahead)
        self._begin, self._offset = position, 0
        return len(self._window) >= least
