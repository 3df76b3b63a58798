"""The test hub's listing: records found, filtered, sorted, cut to the asked fields and given page by page."""

import base64
import binascii
import json
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, get_args

from huggingface_hub.hf_api import ExpandModelProperty_T

from tests.hub.messages import Request

Record = Mapping[str, Any]

IDENTITY = ("_id", "id", "modelId")
EXPANDABLE = frozenset(get_args(ExpandModelProperty_T))
LARGEST_PAGE = 1000
DETAILS = frozenset({"author", "gated", "disabled", "lastModified", "sha", "siblings", "spaces"})  # full=true
ALWAYS_ASKED = frozenset({"cardData", "config"})  # given only to those who ask for them by name
EXPANDED_ONLY = frozenset(
    {"baseModels", "childrenModelCount", "downloadsAllTime", "evalResults", "gguf", "inference"}
    | {"inferenceProviderMapping", "mask_token", "model-index", "resourceGroup", "safetensors"}
    | {"transformersInfo", "usedStorage", "widgetData"}
)


class BadQuery(ValueError):
    """The Hub answers such a question with 400."""


def name_of(record: Record) -> str:
    """A record's owner/name: `id` today, only `modelId` in 2022."""
    return str(record.get("id") or record["modelId"])


class Catalogue:
    """The records that a hub lists, in the order given; pages have at most `largest_page` of them."""

    def __init__(self, records: Iterable[Record], largest_page: int = LARGEST_PAGE) -> None:
        self._largest_page = largest_page
        self._places: dict[str, int] = {}  # the order in which names came; ties of a sorted listing are broken by it
        self._moved: dict[str, str] = {}
        self.replace(records)

    def replace(self, records: Iterable[Record], moved: Mapping[str, str] | None = None) -> None:
        """List other records from now on; `moved` gives the new names of models that had others."""
        listed = list(records)
        for record in listed:
            self._places.setdefault(name_of(record), len(self._places))
        self.records = sorted(listed, key=lambda record: self._places[name_of(record)])
        self._by_name = {name_of(record): record for record in self.records}
        self._moved |= moved or {}
        self._orders: dict[str | None, list[Record]] = {}

    def find(self, name: str) -> Record | None:
        """The record of a model; None where there is none."""
        return self._by_name.get(name)

    def moved(self, name: str) -> str | None:
        """The new name of a model that had this one."""
        return None if name in self._by_name else self._moved.get(name)

    def page(self, request: Request) -> tuple[list[dict[str, Any]], str | None]:
        """One page of the listing, and the cursor of the next one (None after the last)."""
        key, given = request.value("sort"), request.value("cursor")
        size = min(page_size(request.value("limit")), self._largest_page)
        found = self._matching(request, self._ordered(key))
        first = 0 if given is None else self._place_after(found, key, after(given))
        page = found[first : first + size]
        following = self._cursor(page[-1], key) if first + size < len(found) else None
        return [shown(record, request) for record in page], following

    def _matching(self, request: Request, records: list[Record]) -> list[Record]:
        wanted = {name: request.value(name) for name in ("search", "author", "pipeline_tag", "library")}
        filters = request.values("filter")
        if not filters and not any(wanted.values()):
            return records
        return [record for record in records if matches(record, wanted, filters)]

    def _ordered(self, key: str | None) -> list[Record]:
        """Records by a key, largest first, as the Hub always does; those without it last."""
        if key not in self._orders:
            having = [record for record in self.records if key and record.get(key) is not None]
            lacking = [record for record in self.records if not key or record.get(key) is None]
            self._orders[key] = sorted(having, key=lambda record: record[str(key)], reverse=True) + lacking
        return self._orders[key]

    def _cursor(self, last: Record, key: str | None) -> str:
        """What comes after this record, said by its value, so that nothing shifts where others come or go."""
        said = {"value": last.get(key) if key else None, "place": self._places[name_of(last)]}
        return base64.urlsafe_b64encode(json.dumps(said).encode()).decode()

    def _place_after(self, found: list[Record], key: str | None, last: tuple[Any, int]) -> int:
        value, place = last

        def is_after(record: Record) -> bool:
            own = record.get(key) if key else None
            if own != value:
                return own is None or (value is not None and own < value)
            return self._places[name_of(record)] > place

        return bisect_left(found, True, key=is_after)


def after(given: str) -> tuple[Any, int]:
    """The value and the place of the record that a cursor stands behind."""
    try:
        said = json.loads(base64.urlsafe_b64decode(given))
        return said["value"], int(said["place"])
    except (binascii.Error, ValueError, KeyError, TypeError) as error:
        raise BadQuery(f"Invalid cursor: {given}") from error


def matches(record: Record, wanted: Mapping[str, str | None], filters: Sequence[str]) -> bool:
    """Whether a record has every property asked for."""
    name = name_of(record)
    labels = {*(record.get("tags") or ()), record.get("pipeline_tag"), record.get("library_name")}
    return (
        (wanted["search"] is None or wanted["search"].lower() in name.lower())
        and (wanted["author"] is None or name.startswith(wanted["author"] + "/"))
        and (wanted["pipeline_tag"] in (None, record.get("pipeline_tag")))
        and (wanted["library"] is None or wanted["library"] in labels)
        and labels.issuperset(filters)
    )


def shown(record: Record, request: Request) -> dict[str, Any]:
    """The fields of a record that a question asks for.

    With `expand`, its name and those fields only. Else the short form, with `full`, `cardData` and `config`
    adding to it. A record of 2022 is given whole, as the Hub did then.
    """
    asked = request.values("expand")
    if unknown := set(asked) - EXPANDABLE:
        raise BadQuery(f"Invalid expand: {', '.join(sorted(unknown))}")
    if asked:
        return {key: record[key] for key in (*IDENTITY, *asked) if key in record}
    if "id" not in record:
        return dict(record)
    hidden = set(EXPANDED_ONLY) | {name for name in ALWAYS_ASKED if not truth(request.value(name))}
    if not truth(request.value("full")):
        hidden |= DETAILS
    return {key: value for key, value in record.items() if key not in hidden}


def truth(value: str | None) -> bool:
    """Whether a query parameter says yes."""
    return value is not None and value.lower() in ("true", "1")


def page_size(limit: str | None) -> int:
    """Rows of a page: the limit, at most a thousand."""
    if limit is None:
        return LARGEST_PAGE
    if not limit.isdecimal() or int(limit) == 0:
        raise BadQuery(f"Invalid limit: {limit}")
    return min(int(limit), LARGEST_PAGE)


def cursor(first: int) -> str:
    """An opaque cursor for the page that starts at a row."""
    return base64.urlsafe_b64encode(json.dumps({"first": first}).encode()).decode()


def position(given: str | None) -> int:
    """The row that a cursor stands for; 0 without one."""
    try:
        return 0 if given is None else int(json.loads(base64.urlsafe_b64decode(given))["first"])
    except (binascii.Error, ValueError, KeyError, TypeError) as error:
        raise BadQuery(f"Invalid cursor: {given}") from error
