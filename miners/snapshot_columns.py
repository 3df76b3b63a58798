"""What a snapshot's columns say of each field, as DuckDB expressions, whatever type the file gives them.

A field has three expressions: its value, whether that value is all that the record says of it (if not, the record is
read by the page path), and the field as the Hub's API would have written it in JSON.
"""

from collections.abc import Callable
from typing import NamedTuple

PLAIN = r'"[^"\\]+"'  # a JSON text that stands for itself: neither empty nor with escapes
TEXTS = rf"{PLAIN}|\[({PLAIN}(,{PLAIN})*)?\]"
SIBLING = r'\{"rfilename":' + PLAIN + r"\}"
SIBLINGS = rf"\[({SIBLING}(,{SIBLING})*)?\]"
WHOLE = r"-?(0|[1-9][0-9]{0,17})"
NUMBER = r"-?[0-9]{1,15}(\.[0-9]{1,15})?"
MOMENT = r'"[12][0-9]{3}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z"'
UNLIKE_PYTHON = r"[0-9]{16}|NaN|Infinity|[0-9]e|\\u0000"
INTEGERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "HUGEINT")
FLOATS = ("FLOAT", "DOUBLE")
LARGEST_EXACT = 2**53
PATHS = "STRUCT(rfilename VARCHAR)[]"


class Field(NamedTuple):
    """SQL of a field: its value, whether the value is all of it, and the field in JSON."""

    value: str
    fits: str
    json: str


Reader = Callable[[str, str], Field]


def full_match(text: str, pattern: str) -> str:
    """Say in SQL that a text, if there is one, matches a pattern as a whole."""
    return f"({text} IS NULL OR regexp_full_match({text}, '{pattern}'))"


def text(column: str, kind: str) -> Field:
    """Read a text; the empty one counts as none."""
    if kind == "VARCHAR":
        return Field(f"nullif({column}, '')", "true", f"to_json({column})")
    said = _json(column, kind)
    value = f"CASE WHEN starts_with({said}, '\"') THEN nullif({said}[2:-2], '') END"
    return Field(value, full_match(said, r'"[^"\\]*"'), said)


def whole(column: str, kind: str) -> Field:
    """Read a whole number; where columns are floating, NaN stands for none."""
    if kind in INTEGERS:
        return Field(f"TRY_CAST({column} AS BIGINT)", _castable(column, "BIGINT"), f"to_json({column})")
    if kind in FLOATS:
        known = f"CASE WHEN NOT isnan({column}) THEN {column} END"
        fits = f"(isnan({column}) OR ({column} = floor({column}) AND abs({column}) < {LARGEST_EXACT}))"
        return Field(f"TRY_CAST({known} AS BIGINT)", f"({column} IS NULL OR {fits})", f"to_json({known})")
    said = _json(column, kind)
    return Field(f"TRY_CAST({said} AS BIGINT)", full_match(said, WHOLE), said)


def number(column: str, kind: str) -> Field:
    """Read a finite number."""
    if kind in INTEGERS:
        return Field(f"{column}::DOUBLE", "true", f"to_json({column})")
    if kind in FLOATS:
        known = f"CASE WHEN NOT isnan({column}) THEN {column}::DOUBLE END"
        return Field(known, f"({column} IS NULL OR abs({column}) < 2e15 OR isnan({column}))", f"to_json({known})")
    said = _json(column, kind)
    return Field(f"TRY_CAST({said} AS DOUBLE)", full_match(said, NUMBER), said)


def flag(column: str, kind: str) -> Field:
    """Read true or false."""
    if kind == "BOOLEAN":
        return Field(column, "true", f"to_json({column})")
    said = _json(column, kind)
    return Field(f"({said} = 'true')", full_match(said, "true|false"), said)


def gated(column: str, kind: str) -> Field:
    """Read who may have the files: no (false), auto or manual; a column of texts has to write false as a text."""
    if kind == "VARCHAR":
        said = f"CASE WHEN lower({column}) = 'false' THEN 'false' ELSE to_json({column})::VARCHAR END"
    else:
        said = _json(column, kind)
    value = f"CASE {said} WHEN 'false' THEN 'no' WHEN '\"auto\"' THEN 'auto' WHEN '\"manual\"' THEN 'manual' END"
    return Field(value, full_match(said, 'false|"auto"|"manual"'), said)


def moment(column: str, kind: str) -> Field:
    """Read a time in UTC."""
    if kind == "DATE" or kind.startswith("TIMESTAMP"):
        value = f"{column}::TIMESTAMP"
        return Field(value, "true", f"to_json(strftime({value}, '%Y-%m-%dT%H:%M:%S.%fZ'))")
    said = _json(column, kind)
    value = f"TRY_CAST({said}[2:-3] AS TIMESTAMP)"
    return Field(value, f"({full_match(said, MOMENT)} AND ({said} IS NULL OR {value} IS NOT NULL))", said)


def texts(column: str, kind: str) -> Field:
    """Read a list of texts, each of which should be there once; a single text is a list of one."""
    if kind == "VARCHAR[]":
        return Field(column, _none_empty(column), f"to_json({column})")
    said = _nested(column, kind)
    return Field(split_texts(said), full_match(said, TEXTS), said)


def split_texts(said: str) -> str:
    """Cut a JSON list of plain texts, or a single one, into a list of texts."""
    return f"""CASE WHEN {said} = '[]' THEN []::VARCHAR[] WHEN {said}[1] = '[' THEN string_split({said}[3:-3], '","')
        WHEN {said} IS NOT NULL THEN [{said}[2:-2]] END"""


def siblings(column: str, kind: str) -> Field:
    """Read the paths of the files; where a file has more than a path, the record does not fit."""
    if kind == "VARCHAR[]":
        named = f"list_transform({column}, lambda x: {{'rfilename': x}})"
        return Field(column, _none_empty(column), f"to_json({named})")
    if kind == PATHS:
        value = f"list_transform({column}, lambda x: x.rfilename)"
        return Field(
            value, f"({column} IS NULL OR NOT list_contains({column}, {{'rfilename': ''}}))", f"to_json({column})"
        )
    said = _nested(column, kind)
    cut = f"""string_split({said}[16:-4], '"}},{{"rfilename":"')"""
    value = f"CASE WHEN {said} = '[]' THEN []::VARCHAR[] WHEN {said} IS NOT NULL THEN {cut} END"
    return Field(value, full_match(said, SIBLINGS), said)


def whole_object(column: str, kind: str) -> Field:
    """Read an object as JSON."""
    said = _nested(column, kind)
    return Field(said, f"({said} IS NULL OR {said}[1] = '{{')", said)


def results(column: str, kind: str) -> Field:
    """Read a list of published results as JSON, as long as DuckDB writes its numbers as Python does."""
    said = _nested(column, kind)
    plain = f"{said}[1] = '[' AND NOT regexp_matches({said}, '{UNLIKE_PYTHON}')"
    return Field(f"nullif({said}, '[]')", f"({said} IS NULL OR ({plain}))", said)


def _json(column: str, kind: str) -> str:
    """Give a scalar as JSON text, NULL for null."""
    return f"nullif({column}::VARCHAR, 'null')" if kind == "JSON" else f"CAST(to_json({column}) AS VARCHAR)"


def _nested(column: str, kind: str) -> str:
    """Give a list or an object as JSON text; files without nested columns write them as texts of JSON."""
    if kind == "VARCHAR":
        said = f"coalesce(TRY_CAST(nullif({column}, '') AS JSON), to_json({column}))::VARCHAR"
        return f"nullif({said}, 'null')"
    return _json(column, kind)


def _castable(column: str, kind: str) -> str:
    return f"({column} IS NULL OR TRY_CAST({column} AS {kind}) IS NOT NULL)"


def _none_empty(values: str) -> str:
    return f"({values} IS NULL OR NOT list_contains({values}, ''))"
