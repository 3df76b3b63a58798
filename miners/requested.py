"""Addresses of pages, and the lists in them."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from schemas.errors import DataError


def changed(address: str, **parameters: str) -> str:
    """Give an address with other values of some parameters of its query.

    >>> changed("/models?limit=5&cursor=a", cursor="b|c")
    '/models?limit=5&cursor=b%7Cc'
    """
    parts = urlsplit(address)
    query = dict(parse_qsl(parts.query, keep_blank_values=True)) | parameters
    return urlunsplit(parts._replace(query=urlencode(query)))


def records_of(page: Mapping[str, Any], name: str) -> list[Any]:
    """Give the list that a page holds under a name.

    Raises DataError if there is none.
    """
    records = page.get(name)
    if not isinstance(records, list):
        raise DataError(f"its {name} are {repr(records)[:80]}, expected a list")
    return records
