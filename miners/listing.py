"""Reads a hub's listing of models page by page, every answer kept before anything is made of it."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from miners.http import Answer, HubClient, next_page
from miners.raw import keep
from schemas.errors import HubError

PAGE = 1000  # records, the most that the Hub gives
EXPAND = [
    *("author", "baseModels", "cardData", "childrenModelCount", "config", "createdAt", "disabled", "downloads"),
    *("downloadsAllTime", "evalResults", "gated", "gguf", "inference", "inferenceProviderMapping", "lastModified"),
    *("library_name", "likes", "model-index", "pipeline_tag", "private", "resourceGroup", "safetensors", "sha"),
    *("siblings", "spaces", "tags", "transformersInfo", "trendingScore", "usedStorage"),
]
BROKEN_PAGE_ATTEMPTS = 3

Parameters = Mapping[str, str | int | Sequence[str]]


def first_page(hub: HubClient, query: Mapping[str, str], limit: int | None) -> Answer:
    """Ask for the models that `query` chooses, everything expanded."""
    return _page(hub, "/api/models", {**query, "limit": min(limit or PAGE, PAGE), "expand": EXPAND})


def pages(hub: HubClient, first: Answer, folder: Path) -> Iterator[tuple[Answer, str | None]]:
    """Give each page, kept in `folder` by then, and the address of the next one.

    Raises HubError if the hub stops answering, or leads in a circle.
    """
    answer, number, visited = first, 0, {first.url}
    while True:
        keep(folder, f"{number:06d}", [answer])
        following = next_page(answer)
        yield answer, following
        if following is None:
            return
        if following in visited:
            raise HubError(
                f"{hub.endpoint} leads in a circle: page {number} names one as the next that was read before"
            )
        visited.add(following)
        answer, number = _page(hub, following), number + 1


def _page(hub: HubClient, url: str, parameters: Parameters | None = None) -> Answer:
    """Fetch a page, again if it is cut off; after some attempts what there is has to do."""
    answer = hub.get(url, parameters=parameters)
    for _ in range(BROKEN_PAGE_ATTEMPTS - 1):
        body = answer.body.strip()
        if body.startswith(b"[") and body.endswith(b"]"):
            break
        answer = hub.get(url, parameters=parameters)
    return answer
