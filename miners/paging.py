"""Reads a list that the hub's API gives about one model, page by page."""

from collections.abc import Mapping

from miners.answers import next_page
from miners.fetching import Fetched
from miners.fields import Json
from miners.http import HubClient
from miners.json_values import fetch_json
from miners.targets import Target
from schemas.errors import DataError


def fetch_list(
    client: HubClient, target: Target, address: str, parameters: Mapping[str, str], most_pages: int
) -> Fetched[list[Json]]:
    """Fetch a list of objects, at most so many pages of it; found is None where a page cannot be read.

    What is left out, and entries that are no objects, are named in the failures.
    """
    fetched: Fetched[list[Json]] = Fetched(target)
    found: list[Json] = []
    following: str | None = None
    for _ in range(most_pages):
        try:
            answer, entries = fetch_json(client, following or address, list, None if following else parameters)
        except DataError as error:
            fetched.failures.append(str(error))
            return fetched
        fetched.answers.append(answer)
        found += [entry for entry in entries if isinstance(entry, dict)]
        if strange := sum(not isinstance(entry, dict) for entry in entries):
            fetched.failures.append(f"{strange} entries of a page are no objects")
        following = next_page(answer)
        if following is None:
            break
    else:
        fetched.failures.append(f"there is more; the first {len(found)} entries were read")
    fetched.found = found
    return fetched
