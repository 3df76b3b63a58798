"""A file whose bytes are asked for in pieces, so that a header can be read wherever the file lies."""

from pathlib import Path
from typing import NamedTuple, Protocol

from miners.fields import LARGEST
from miners.headers.header import LONGEST_HEADER
from schemas.errors import DataError

AHEAD = 2**16  # bytes; most headers fit, and another piece is dearer than a few kilobytes too many
ON_DISK_AHEAD = 2**12  # bytes
MOST_PIECES = 256
MOST_BYTES = LONGEST_HEADER + 2**24
HELD = 4  # pieces that are remembered besides the first


class Pieces(Protocol):
    """Where a file lies. `size` is that of the whole file in bytes, None while unknown."""

    size: int | None

    def fetch(self, begin: int, end: int) -> bytes:
        """Give the bytes [begin, end), fewer only where the file ends."""
        ...


class InMemory:
    """A file that is there as bytes."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self.size: int | None = len(content)

    def fetch(self, begin: int, end: int) -> bytes:
        """Give the bytes [begin, end)."""
        return self._content[begin:end]


class OnDisk:
    """A file on this machine."""

    def __init__(self, place: Path, size: int) -> None:
        self._place = place
        self.size: int | None = size

    def fetch(self, begin: int, end: int) -> bytes:
        """Give the bytes [begin, end); raises OSError if the file cannot be read."""
        with self._place.open("rb") as opened:
            opened.seek(begin)
            return opened.read(end - begin)


class _Piece(NamedTuple):
    begin: int
    data: bytes

    @property
    def end(self) -> int:
        return self.begin + len(self.data)


class Source:
    """Reads a file piece by piece, remembers the last pieces, and refuses to read more than a header can be.

    A piece has `ahead` bytes or more: many where each is a request, few where the file is at hand.

    Raises DataError after `most_pieces` pieces or `most_bytes` bytes, whoever asks.
    """

    def __init__(
        self, pieces: Pieces, ahead: int = AHEAD, most_pieces: int = MOST_PIECES, most_bytes: int = MOST_BYTES
    ) -> None:
        self._pieces = pieces
        self.ahead = ahead
        self._held: list[_Piece] = []
        self._pieces_left = most_pieces
        self._most = (most_pieces, most_bytes)
        self._bytes_left = most_bytes

    @property
    def size(self) -> int | None:
        """Size of the file; it may be unknown until the first read, and after it."""
        return self._pieces.size

    def read(self, begin: int, end: int, ahead: int = 0) -> bytes:
        """Give the bytes [begin, end), fewer only where the file ends; a new piece has `ahead` bytes or more."""
        parts, ahead = [], max(ahead, self.ahead)
        while begin < end:
            piece = self._holding(begin) or self._fetched(begin, max(end, begin + ahead))
            if piece is None:
                break
            parts.append(piece.data[begin - piece.begin : end - piece.begin])
            begin += len(parts[-1])
        return b"".join(parts)

    def window(self, begin: int, least: int, ahead: int) -> bytes:
        """Give `least` bytes from `begin` on and what is known behind them, fewer only where the file ends."""
        data = self.read(begin, begin + least, ahead)
        last = self._holding(begin + len(data) - 1) if data else None
        return data if last is None else data + last.data[begin + len(data) - last.begin :]

    def _holding(self, position: int) -> _Piece | None:
        return next((piece for piece in reversed(self._held) if piece.begin <= position < piece.end), None)

    def _fetched(self, begin: int, end: int) -> _Piece | None:
        end = end if self.size is None else min(end, self.size)
        if begin >= end:
            return None
        self._pieces_left -= 1
        self._bytes_left -= end - begin
        if self._pieces_left < 0 or self._bytes_left < 0:
            pieces, most_bytes = self._most
            raise DataError(f"its header takes more than {pieces} pieces or {most_bytes} bytes of the file to read")
        piece = _Piece(begin, self._pieces.fetch(begin, end))
        if not piece.data:
            return None
        self._held.append(piece)
        del self._held[1:-HELD]
        return piece


def on_disk(place: Path, size: int) -> Source:
    """A source for a file on this machine, where pieces cost little."""
    return Source(OnDisk(place, size), ON_DISK_AHEAD, most_pieces=LARGEST)
