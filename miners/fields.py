"""Reads typed columns out of a list of JSON objects, and remembers what had another type than it should.

A column is read for all records at once: types are checked by one pass in C over the column, and only a column with
something wrong in it is looked at value by value.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from itertools import chain
from types import NoneType
from typing import Any, Self

import numpy as np
import polars as pl

LARGEST = 2**63 - 1
MOMENT = "%Y-%m-%dT%H:%M:%S%.fZ"
Json = dict[str, Any]
Wrong = defaultdict[int, list[str]]
Positions = np.ndarray[tuple[int], np.dtype[np.intp]]


class Fields:
    """The fields of many records. What has the wrong type becomes NULL and is named in `wrong`, by the record's row.

    `place` goes before the names in `wrong`, e.g. `config.`. Where the records come out of lists inside of others,
    `owners` says for each in which of the others it lay, and `rows` to which row it belongs.
    """

    def __init__(
        self, records: Sequence[Json], wrong: Wrong | None = None, place: str = "", rows: Positions | None = None
    ) -> None:
        self.records = records
        self.wrong: Wrong = defaultdict(list) if wrong is None else wrong
        self.place = place
        self.rows: Positions = np.arange(len(records)) if rows is None else rows
        self.owners: Positions = self.rows
        self._taken: dict[str, list[Any]] = {}
        self.names = set[str]().union(*records)

    def raw(self, name: str) -> list[Any]:
        """Give the values as they are, None where a record has none."""
        if name not in self.names:
            return [None] * len(self.records)
        if name not in self._taken:
            return [record.get(name) for record in self.records]
        return self._taken[name]

    def take(self, *names: str) -> Self:
        """Fetch several columns in one pass: records lie far apart in memory, and going to each is what takes time."""
        columns = zip(*[list(map(record.get, names)) for record in self.records], strict=True)
        self._taken = dict(zip(names, map(list, columns), strict=True)) if self.records else {}
        return self

    def refuse(self, position: int, name: str, expected: str, value: object) -> None:
        """Remember that the field `name` of the record at `position` is of no use."""
        self.wrong[int(self.rows[position])].append(f"{self.place}{name} is {_shown(value)}, expected {expected}")

    def text(self, name: str) -> pl.Series:
        """Give a text; the empty one counts as none."""
        values = self._checked(name, {str}, "text")
        return pl.Series(name, [value or None for value in values] if "" in values else values, pl.String())

    def flag(self, name: str) -> pl.Series:
        """Give true or false."""
        return pl.Series(name, self._checked(name, {bool}, "true or false"), pl.Boolean())

    def whole(self, name: str) -> pl.Series:
        """Give a whole number of 64 bits."""
        values = self._checked(name, {int}, "a whole number of 64 bits", _whole)
        try:
            return pl.Series(name, values, pl.Int64())
        except (OverflowError, TypeError):
            return pl.Series(name, self._mended(name, values, "a whole number of 64 bits", _whole), pl.Int64())

    def number(self, name: str) -> pl.Series:
        """Give a finite number."""
        return pl.Series(name, self._checked(name, set(), "a finite number", _number), pl.Float64())

    def moment(self, name: str) -> pl.Series:
        """Give a time in UTC; one without a time zone is taken as UTC."""
        texts = self.text(name)
        times = texts.str.to_datetime(MOMENT, time_unit="us", time_zone="UTC", strict=False)
        if times.null_count() == texts.null_count() and not (times.dt.year() < 1).any():
            return times
        return pl.Series(name, self._mended(name, texts, "a time like 2022-01-20T12:13:34Z", moment), times.dtype)

    def inside(self, name: str) -> "Fields":
        """Give the fields of the object under `name`; of an empty one where there is none."""
        values = self._checked(name, {dict}, "an object")
        return Fields([value or {} for value in values], self.wrong, f"{self.place}{name}.", self.rows)

    def texts(self, name: str) -> pl.DataFrame:
        """Give the texts of a list as rows (row, text) without repetitions; a single text is a list of one."""
        owners, values = self._flat(name, str, "a list of texts")
        frame = pl.DataFrame(
            {"row": pl.Series(self.rows[owners], dtype=pl.UInt32()), "text": pl.Series(values, dtype=pl.String())}
        )
        return frame.filter(pl.col("text") != "").unique(maintain_order=True)

    def objects(self, name: str) -> "Fields":
        """Give the fields of the objects in a list, one after the other; `owners` says whose they are."""
        owners, values = self._flat(name, dict, "a list of objects")
        fields = Fields(values, self.wrong, f"{self.place}{name}.", self.rows[owners])
        fields.owners = owners
        return fields

    def sole_texts(self, name: str, key: str) -> tuple[Positions, list[str]] | None:
        """Give rows and texts of a list of objects that say `key` and nothing else; None if any says more or less."""
        lists = self.raw(name)
        if not {list, NoneType}.issuperset(map(type, lists)):
            return None
        objects = list(chain.from_iterable(filter(None, lists)))
        if not ({dict}.issuperset(map(type, objects)) and {1}.issuperset(map(len, objects))):
            return None
        texts = [one.get(key) for one in objects]
        if not {str}.issuperset(map(type, texts)) or "" in texts:
            return None
        return np.repeat(self.rows, [len(values) if values else 0 for values in lists]), texts

    def _flat(self, name: str, kind: type, expected: str) -> tuple[Positions, list[Any]]:
        """Chain the lists of all records, without items that are null or not of `kind`; say whose each item is."""
        lists = self._checked(name, {list}, expected, lambda value: [value] if type(value) is kind else None)
        owners = np.repeat(np.arange(len(lists)), [len(values) if values else 0 for values in lists])
        flat = list(chain.from_iterable(values for values in lists if values))
        if {kind}.issuperset(map(type, flat)):
            return owners, flat
        fits = np.array([type(value) is kind for value in flat])
        for position in np.flatnonzero(~fits):
            if flat[position] is not None:
                self.refuse(owners[position], name, expected, flat[position])
        return owners[fits], [value for value in flat if type(value) is kind]

    def _checked(
        self, name: str, kinds: set[type], expected: str, convert: Callable[[Any], Any] = lambda value: None
    ) -> list[Any]:
        """Give the values if all are of `kinds` or None, else what `convert` makes of the others."""
        values = self.raw(name)
        if {*kinds, NoneType}.issuperset(map(type, values)):
            return values
        return self._mended(name, values, expected, lambda v: v if type(v) in kinds else convert(v))

    def _mended(
        self, name: str, values: Sequence[Any] | pl.Series, expected: str, convert: Callable[[Any], Any]
    ) -> list[Any]:
        mended = [None if value is None else convert(value) for value in values]
        for position, (before, after) in enumerate(zip(values, mended, strict=True)):
            if after is None and before is not None:
                self.refuse(position, name, expected, before)
        return mended


def _whole(value: Any) -> int | None:
    if type(value) is float and value.is_integer():
        value = int(value)
    return value if type(value) is int and abs(value) <= LARGEST else None


def _number(value: Any) -> float | None:
    fits = type(value) in (int, float) and abs(value) <= LARGEST and math.isfinite(value)
    return float(value) if fits else None


def moment(text: str) -> datetime | None:
    """Give the time that a text like 2024-01-31T12:00:00.123Z says, UTC where it does not say; None if it says none."""
    try:
        time = datetime.fromisoformat(text)
        return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


def _shown(value: object) -> str:
    if isinstance(value, int) and abs(value) > LARGEST:
        return "a number of more than 64 bits"
    return repr(value)[:80]
