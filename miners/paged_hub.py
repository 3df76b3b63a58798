"""What a hub is that lists its models page by page and tells all of each there."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from miners.http import HubClient
from miners.package import Lost, Package


class Listed(NamedTuple):
    """A page: its records, the address of the next page, and how many models there are for the question, if said."""

    records: list[Any]
    following: str | None = None
    total: int | None = None


class Claim(NamedTuple):
    """That an owner has so many models, and the address of the first page that lists them alone."""

    owner: str
    models: int
    address: str


class PagedHub(NamedTuple):
    """A hub. Addresses are paths on `site` with their query; `asked` names what a listing can be narrowed by.

    `read(body, address)` gives a page and raises DataError for what is none; `describe(record)` gives the packages of
    a record, one of them or more, or says why it is lost. `claims(ask)` gives what the hub says elsewhere of how many
    models there are; `ask(address)` fetches and keeps an answer.
    """

    hub: str
    site: str
    asked: Mapping[str, str]
    first: Callable[[Mapping[str, str]], str]
    read: Callable[[bytes, str], Listed]
    describe: Callable[[Mapping[str, Any]], list[Package] | Lost]
    client: Callable[[str], HubClient]
    claims: Callable[[Callable[[str], bytes]], Iterator[Claim]] | None = None
