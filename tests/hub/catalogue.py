"""The test hub's listing: records found, filtered, sorted, cut to the asked fields and given page by page."""

import base64
import binascii
import json
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
    """The records that a hub lists, in the order given."""

    def __init__(self, records: Iterable[Record]) -> None:
        self.records = list(records)
        self._by_name = {name_of(record): record for record in self.records}

    def find(self, name: str) -> Record | None:
        """The record of a model; None where there is none."""
        return self._by_name.get(name)

    def page(self, request: Request) -> tuple[list[dict[str, Any]], str | None]:
        """One page of the listing, and the cursor of the next one (None after the last)."""
        first, size = position(request.value("cursor")), page_size(request.value("limit"))
        found = ordered(self._matching(request), request)
        page = [shown(record, request) for record in found[first : first + size]]
        return page, cursor(first + size) if first + size < len(found) else None

    def _matching(self, request: Request) -> list[Record]:
        wanted = {name: request.value(name) for name in ("search", "author", "pipeline_tag", "library")}
        filters = request.values("filter")
        if not filters and not any(wanted.values()):
            return self.records
        return [record for record in self.records if matches(record, wanted, filters)]


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


def ordered(records: list[Record], request: Request) -> list[Record]:
    """Records by the asked key, largest first (direction=1: smallest first), those without it last."""
    key = request.value("sort")
    if key is None:
        return records
    having = [record for record in records if record.get(key) is not None]
    lacking = [record for record in records if record.get(key) is None]
    return sorted(having, key=lambda record: record[key], reverse=request.value("direction") != "1") + lacking


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
