"""What a population varies: the columns that are its load and its temperature, and bins of those that vary freely."""

from dataclasses import dataclass
from math import log10
from typing import Literal

from learners.landscape.phases.axes import LOADS, TEMPERATURES
from learners.reporting.figure import quoted
from schemas import Lake

MOST_VALUES = 30
"""A column with more values, such as a learning rate that every member has drawn for itself, is put into bins."""
BINS = 12
VARIED = "SELECT {counts} FROM member WHERE population_id = {population}"
SPAN = """
SELECT min({column})::DOUBLE AS low, max({column})::DOUBLE AS high FROM member WHERE population_id = {population}
"""


@dataclass(frozen=True)
class Axis:
    """A column of `member`; where its bins begin, how wide they are, and whether they are of its logarithm."""

    column: str
    low: float = 0.0
    width: float | None = None
    logarithmic: bool = False

    @property
    def words(self) -> str:
        """The column as people write it."""
        return self.column.replace("_", " ")

    @property
    def scale(self) -> Literal["log", "linear"]:
        """The scale that it is drawn on."""
        return "log" if self.logarithmic else "linear"

    def sql(self, table: str = "") -> str:
        """The column, or the middle of its bin to three digits, under the column's name."""
        value = f"{table}{self.column}"
        if self.width is None:
            return value
        place = f"log10({value})" if self.logarithmic else value
        number = f"least(floor(({place} - {self.low!r}) / {self.width!r}), {BINS - 1})"
        middle = f"{self.low!r} + {self.width!r} * ({number} + 0.5)"
        middle = f"pow(10, {middle})" if self.logarithmic else middle
        return f"printf('%.3g', {middle})::DOUBLE AS {self.column}"


@dataclass(frozen=True)
class Grid:
    """The axes of a population: load first, then temperature; either may be missing."""

    population_id: str
    axes: tuple[Axis, ...]

    @property
    def columns(self) -> list[str]:
        """The axes' columns."""
        return [axis.column for axis in self.axes]

    @property
    def words(self) -> str:
        """What varies, in words."""
        return " and ".join(axis.words for axis in self.axes)

    @property
    def bins(self) -> str:
        """A sentence on the axes that are in bins; empty where none is."""
        binned = [axis.words for axis in self.axes if axis.width is not None]
        return f" The {' and the '.join(binned)} of members is in {BINS} bins." if binned else ""


def grid_of_population(lake: Lake, population_id: str) -> Grid:
    """The first load and the first temperature that vary."""
    counts = ", ".join(f"count(DISTINCT {column}) AS {column}" for column in (*LOADS, *TEMPERATURES))
    varied = lake.sql(VARIED.format(counts=counts, population=quoted(population_id))).row(0, named=True)
    first = [next((column for column in names if varied[column] > 1), None) for names in (LOADS, TEMPERATURES)]
    axes = [_axis(lake, population_id, column, varied[column]) for column in first if column]
    return Grid(population_id, tuple(axes))


def _axis(lake: Lake, population_id: str, column: str, values: int) -> Axis:
    if values <= MOST_VALUES:
        return Axis(column)
    low, high = lake.sql(SPAN.format(column=column, population=quoted(population_id))).row(0)
    logarithmic = low > 0 and high > 10 * low
    begin, end = (log10(low), log10(high)) if logarithmic else (low, high)
    return Axis(column, begin, (end - begin) / BINS, logarithmic)
