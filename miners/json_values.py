"""Bytes of an answer that should be JSON -> its value, of the kind that was expected."""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TypeVar

from miners.http import Answer, HubClient
from miners.pages import storable
from schemas.errors import DataError

Value = TypeVar("Value", dict, list)  # type: ignore[type-arg]  # what lies inside is checked by whoever reads it
ATTEMPTS = 3
Parameters = Mapping[str, str | int | Sequence[str]]
NAMES = {dict: "object", list: "list"}


def json_value(body: bytes, kind: type[Value]) -> Value:
    """Parse a body; bytes that are not UTF-8, halves of surrogate pairs and NUL characters become U+FFFD.

    Raises DataError if it is not JSON, nested too deeply, or a value of another kind (dict or list).
    """
    try:
        value = json.loads(storable(body.decode("utf-8-sig", errors="replace")), parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise DataError(f"it is not JSON: {str(error)[:200]}") from error
    if not isinstance(value, kind):
        raise DataError(f"it is the JSON value {str(value)[:80]!r}, expected an {NAMES[kind]}")
    return value


def fetch_json(
    client: HubClient, url: str, kind: type[Value], parameters: Parameters | None = None
) -> tuple[Answer, Value]:
    """Ask for a JSON value, again if it comes cut off.

    Raises DataError if it stays broken, and what the client raises.
    """
    for _ in range(ATTEMPTS - 1):
        answer = client.get(url, parameters=parameters)
        with suppress(DataError):
            return answer, json_value(answer.body, kind)
    answer = client.get(url, parameters=parameters)
    return answer, json_value(answer.body, kind)


def _no_number(name: str) -> None:
    """NaN and Infinity are Python's, not JSON's; DuckDB would refuse them."""
