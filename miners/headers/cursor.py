"""Walks through a file from front to back, number by number, without fetching what is skipped."""

import struct
from typing import Any

from miners.fields import LARGEST
from miners.headers.source import Source
from schemas.errors import DataError

FARTHEST_AHEAD = 2**22  # bytes, unless more is expected


class Cursor:
    """A position in a file. Every method raises DataError where the file ends too early.

    Pieces grow while what is asked for lies close together, and are short again after a long leap. `expected` is how
    many bytes of header are known to come, as a hint for the next piece.
    """

    def __init__(self, source: Source, ahead: int = 0) -> None:
        self._source = source
        self._window = b""
        self._begin = 0  # of the window in the file
        self._offset = 0  # of the position in the window
        self._least_ahead = max(ahead, source.ahead)
        self._ahead = self._least_ahead
        self._known = 0  # where the last window ended
        self.expected = 0

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
        is_near = self._known > 0 and position - self._known < self._least_ahead
        self._ahead = min(2 * self._ahead, FARTHEST_AHEAD) if is_near else self._least_ahead
        self._window = self._source.window(position, least, max(self._ahead, self.expected))
        self._begin, self._offset = position, 0
        self._known = position + len(self._window)
        return len(self._window) >= least
