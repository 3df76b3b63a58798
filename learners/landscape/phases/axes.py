"""The two axes of a population's grid, and what else it varies: a diagram takes one value of each of those."""

import json
from collections.abc import Mapping

import polars as pl

from schemas import UsageError
from zoo.mistakes import expected_one_of

LOADS = ("width", "depth", "label_noise", "data_fraction")
TEMPERATURES = ("batch_size", "learning_rate", "weight_decay", "epochs")
OTHERS = ("convection", "dropout", "activation", "initialisation", "optimizer")
Held = dict[str, float | int | str]
"""Columns of `member` with the value that counts."""


def held_members(members: pl.DataFrame, population_id: str, at: Mapping[str, object]) -> tuple[pl.DataFrame, Held]:
    """The members with given values of some columns, and those values as the columns have them.

    Raises:
        UsageError: There is no such column, or no member with that value.
    """
    held: Held = {}
    for name, value in at.items():
        if name not in (*LOADS, *TEMPERATURES, *OTHERS):
            raise UsageError(f"at {name}: {expected_one_of(name, (*LOADS, *TEMPERATURES, *OTHERS))}")
        known = members[name].drop_nulls().unique().sort().to_list()
        same = [one for one in known if _same(one, value)]
        if not same:
            says = ", ".join(map(str, known)) or "nothing"
            raise UsageError(
                f"at {name}={value}: population {population_id} has no such members; expected one of: {says}"
            )
        members, held[name] = members.filter(pl.col(name) == same[0]), same[0]
    return members, held


def axes_of(members: pl.DataFrame, population_id: str) -> tuple[str, str]:
    """The load and the temperature that vary.

    Raises:
        UsageError: One of them does not, or something else varies beside them, so that cells would mix its values.
    """
    varied = [[name for name in names if members[name].n_unique() > 1] for names in (LOADS, TEMPERATURES)]
    if members.is_empty() or not all(varied):
        what = "load" if not varied[0] else "temperature"
        names = ", ".join(LOADS if what == "load" else TEMPERATURES)
        raise UsageError(f"population {population_id} varies no {what} ({names}); a phase diagram needs both")
    more = [*varied[0][1:], *varied[1][1:], *(name for name in OTHERS if members[name].n_unique() > 1)]
    if more:
        axes, values = f"{varied[0][0]} and {varied[1][0]}", members[more[0]].unique().sort().to_list()
        raise UsageError(
            f"population {population_id} varies {', '.join(more)} beside {axes}, and a phase diagram has two axes; "
            f"hold one value of it, --at {more[0]}={values[-1]}, in Python at={{{more[0]!r}: {values[-1]!r}}}; "
            f"there are {', '.join(map(str, values))}"
        )
    return varied[0][0], varied[1][0]


def held_text(held: Held) -> str | None:
    """What is held as the lake has it; None where nothing is."""
    return json.dumps(held, sort_keys=True) if held else None


def _same(known: object, value: object) -> bool:
    if isinstance(known, str):
        return known == str(value)
    try:
        return float(str(known)) == float(str(value))
    except ValueError:
        return False
