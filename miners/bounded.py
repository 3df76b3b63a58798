"""A stream of bytes that may unpack to anything, read with bounds: no read and no whole without end."""

import io
from typing import IO

LONGEST = 4 * 2**30  # bytes that a stream may unpack to
ALWAYS = 64 * 2**20  # bytes that it may unpack to, however small it is packed
RATIO = 150  # to 1, that it may unpack to beyond; the ONNX Model Zoo's 2,190 files of statistics reach 54 with xz
BLOCK = 512  # bytes; a tar archive ends with blocks of zeros
SLACK = 2**20  # bytes


class Overgrown(Exception):
    """The stream is larger than anything sensible would be."""


class Bounded(io.RawIOBase):
    """Reads from `source` until it has given too much, at most `largest` bytes (and a little) at a time.

    Too much is more than `LONGEST`, or more than `ALWAYS` and `RATIO` times the `packed` bytes that it comes from.
    """

    def __init__(self, source: IO[bytes], largest: int, packed: int) -> None:
        self._source = source
        self._most = min(LONGEST, ALWAYS + RATIO * packed)
        self._largest = largest + SLACK
        self._last = b""

    def readable(self) -> bool:
        """Say yes."""
        return True

    def seekable(self) -> bool:
        """Say yes."""
        return True

    def read(self, size: int = -1, /) -> bytes:
        """Give the next `size` bytes.

        Raises Overgrown if that is too much, or the stream has given too much already.
        """
        if size < 0 or size > self._largest:
            raise Overgrown(f"a piece of it claims to have {size} bytes")
        self._check(self.tell() + size)
        data = self._source.read(size)
        if size == BLOCK:
            self._last = data
        return data

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Go to a place counted from the start; raises Overgrown if that is too far."""
        if whence != io.SEEK_SET:
            raise io.UnsupportedOperation("only from the start")
        self._check(offset)
        return self._source.seek(offset)

    def tell(self) -> int:
        """Say where the stream is."""
        return self._source.tell()

    def check_end(self) -> None:
        """Read what is left, so that the stream's own checksum is compared.

        Raises EOFError if the last block that was read is not the one of zeros that ends a tar archive.
        """
        if self._last != bytes(BLOCK):
            raise EOFError("it ends before its end mark, or is damaged")
        while self.read(SLACK):
            pass

    def _check(self, end: int) -> None:
        if end > self._most:
            raise Overgrown(f"it unpacks to more than {self._most} bytes")
