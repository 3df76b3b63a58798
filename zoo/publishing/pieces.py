"""Reads a Parquet file that lies elsewhere by pieces: its footer, and those columns of those rows that are come to."""

from bisect import bisect_right, insort
from collections.abc import Callable
from io import BytesIO
from threading import Lock

import pyarrow  # type: ignore[import-untyped] # pyarrow ships no types
from pyarrow import parquet

from zoo.publishing.ranges import Range

TAIL = 4 * 2**10
"""Bytes in which a footer may be; of a large file a sixteenth."""
LENGTH = 8
"""Bytes at a file's end: the footer's length, and the mark of Parquet."""
LEAST, MOST = 2**10, 2**20
"""Bytes that are fetched beyond those asked for: twice as many each time somebody reads on."""
SLACK = 256 * 2**10
"""Bytes beyond those up to which a column is fetched to its end."""


class Pieces:
    """The pieces of a file that were fetched so far; what is read and not among them is fetched.

    A reader asks for a page's head, then for the page; columns without values have forty bytes. So a piece goes on to
    the end of a column, and is longer the longer somebody reads on, but ends where a group of rows does.
    """

    def __init__(self, size: int, fetch: Callable[[Range], bytes]) -> None:
        self.size = size
        self._fetch = fetch
        self._begins: list[int] = []
        self._found: dict[int, bytes] = {}
        self._columns: list[Range] = []
        self._groups: list[int] = []
        self._lock = Lock()

    def read(self, begin: int, end: int) -> bytes:
        """The bytes [begin, end), or up to the file's end."""
        content = bytearray()
        with self._lock:  # of two threads that come to the same piece, one fetches it
            if not self._begins and self.size:
                self._learn()
            while begin + len(content) < min(end, self.size):
                content += self._known(begin + len(content), end) or self._new(begin + len(content), end)
        return bytes(content)

    def _known(self, begin: int, end: int) -> bytes:
        """What is here of [begin, end) from its first byte on."""
        at = bisect_right(self._begins, begin) - 1
        first = self._begins[at] if at >= 0 else begin
        return self._found.get(first, b"")[begin - first : end - first]

    def _new(self, begin: int, end: int) -> bytes:
        until = self._until(begin, end)
        content = self._fetch((begin, until))
        self._keep(begin, content)
        return content[: end - begin]

    def _keep(self, begin: int, content: bytes) -> None:
        insort(self._begins, begin)
        self._found[begin] = content

    def _until(self, begin: int, end: int) -> int:
        """Where the piece that begins here ends."""
        at = bisect_right(self._begins, begin)
        before = self._found[self._begins[at - 1]] if at else b""
        read_on = at > 0 and self._begins[at - 1] + len(before) == begin
        limit = self._begins[at] if at < len(self._begins) else self.size
        wanted = max(end, begin + (min(2 * len(before), MOST) if read_on else LEAST))
        column = bisect_right(self._columns, (wanted - 1, self.size)) - 1
        if column >= 0 and wanted < self._columns[column][1] <= wanted + SLACK:
            wanted = self._columns[column][1]
        group = bisect_right(self._groups, begin)
        if group < len(self._groups):
            wanted = max(end, min(wanted, self._groups[group]))
        return min(wanted, limit)

    def _learn(self) -> None:
        """Fetch the footer, and note where columns and groups of rows end; whoever reads says it if it is damaged."""
        tail = min(self.size, max(TAIL, self.size // 16))
        content = self._fetch((self.size - tail, self.size))
        length = int.from_bytes(content[-LENGTH:-4], "little") + LENGTH
        if tail < length <= self.size:
            content = self._fetch((self.size - length, self.size - tail)) + content
        self._keep(self.size - len(content), content)
        try:
            footer = parquet.read_metadata(BytesIO(b"PAR1" + content[-length:]))
        except (pyarrow.ArrowException, OSError, ValueError):
            return
        groups = [footer.row_group(index) for index in range(footer.num_row_groups)]
        columns = [[_place(group.column(index)) for index in range(footer.num_columns)] for group in groups]
        self._columns = sorted(column for group in columns for column in group)
        self._groups = sorted(max(end for _, end in group) for group in columns if group)


def _place(column: parquet.ColumnChunkMetaData) -> Range:
    begin = column.data_page_offset
    if column.has_dictionary_page:
        begin = min(begin, column.dictionary_page_offset)
    return begin, begin + column.total_compressed_size
