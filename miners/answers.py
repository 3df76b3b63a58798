"""What a hub's answer means: its body within bounds, its next page, or the error that it stands for.

    HubError            the hub stays out of reach, or answers something that cannot be right (schemas.errors)
    ├── NotFound        what was asked for does not exist: 404, 410, or a range beyond the end of a file (416)
    ├── Refused         the hub wants a token, or another one: 401, 403 (private, gated, disabled), 451
    └── TooLarge        the answer is larger than the caller accepts

Nothing that a hub sends is trusted: neither lengths nor ranges, links, error texts or the form of its JSON.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

import httpx2
from huggingface_hub.errors import DisabledRepoError, GatedRepoError, HfHubHTTPError
from huggingface_hub.utils import hf_raise_for_status  # type: ignore[attr-defined]  # its lazy exports hide from mypy

from miners.addresses import printable, shown
from schemas.errors import HubError

CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(?:(\d{1,18})|\*)", re.ASCII)
KEPT_HEADERS = {b"x-error-code", b"x-error-message", b"x-request-id", b"x-amzn-trace-id", b"x-amz-cf-id"} | {
    b"ratelimit",
    b"ratelimit-policy",
    b"retry-after",
}


class NotFound(HubError):
    """The hub has no such model, revision, file, or no such bytes of it."""


class Refused(HubError):
    """The hub does not show this without a token, or not to the owner of this token."""


class TooLarge(HubError):
    """The answer has more bytes than the caller accepts."""


@dataclass(frozen=True)
class Answer:
    """A good answer of a hub.

    `url` is the address that was asked for, before redirects. `headers` are looked up in any case and, like
    `status`, as the hub sent them. `body` is decoded, and cut to the byte range where one was asked for.
    """

    url: str
    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    fetched_at: datetime  # UTC


def next_page(answer: Answer) -> str | None:
    """The address of the page after this one, from the Link header; None after the last.

    Raises HubError if it leads to another origin, where the hub's token and quotas do not belong.
    """
    link = answer.headers.get("link", "").encode("utf-8", "replace")
    links = httpx2.Response(200, headers=[(b"link", link)]).links
    target = links.get("next", {}).get("url")
    if target is None:
        return None
    here = httpx2.URL(answer.url)
    try:
        following = here.join(target)
        same = following.origin == here.origin
    except (httpx2.InvalidURL, ValueError) as error:
        raise HubError(f"{shown(here)}: the link to the next page is no address: {printable(target)}") from error
    if not same:
        raise HubError(
            f"{shown(here)}: the next page is on another host, {shown(following)}; "
            "if that is the hub's true address, use it as the endpoint."
        )
    return str(following)


def read_whole(url: str, headers: Mapping[str, str], chunks: Iterable[bytes], limit: int) -> bytes:
    """The body, or TooLarge as soon as it is known to have more than `limit` bytes."""
    stated = headers.get("content-length", "")
    if re.fullmatch(r"[0-9]+", stated) and (len(stated) > 18 or int(stated) > limit):
        raise TooLarge(f"{url}: the hub would send {stated} bytes, at most {limit} are accepted.")
    body = read_at_most(chunks, limit + 1)
    if len(body) > limit:
        raise TooLarge(f"{url}: the hub sends more than the {limit} bytes that are accepted.")
    return body


def read_range(
    url: str, status: int, headers: Mapping[str, str], chunks: Iterable[bytes], asked: tuple[int, int], limit: int
) -> bytes:
    """The bytes [begin, end) of a file, fewer where it ends before, from a 206 or from a 200 with all of it."""
    begin, end = asked
    if status == 200:
        return from_whole_file(url, chunks, begin, end, limit)
    if status != 206 or headers.get("content-encoding", "identity") != "identity":
        raise HubError(f"{url}: asked for the bytes {begin} to {end}, the hub answers with something else.")
    given = CONTENT_RANGE.fullmatch(headers.get("content-range", ""))
    if given is None or not is_asked_range(given, begin, end):
        raise HubError(
            f"{url}: asked for the bytes {begin} to {end}, the hub sends others: "
            f"Content-Range is {printable(headers.get('content-range', 'missing'))}."
        )
    length = int(given[2]) + 1 - begin
    body = read_at_most(chunks, length + 1)
    if len(body) != length:
        raise HubError(f"{url}: the hub announces {length} bytes of a range and sends another number.")
    return body


def is_asked_range(given: re.Match[str], begin: int, end: int) -> bool:
    """Whether a Content-Range is the one asked for, cut short by nothing but the end of the file."""
    last = int(given[2]) + 1
    complete = last == end or (given[3] is not None and last == int(given[3]))
    return int(given[1]) == begin and begin < last <= end and complete


def from_whole_file(url: str, chunks: Iterable[bytes], begin: int, end: int, limit: int) -> bytes:
    """A range from an answer that ignores ranges and sends the file from its start."""
    if end > limit:
        raise TooLarge(
            f"{url}: the hub does not serve ranges, and reading up to byte {end} is more than the "
            f"{limit} bytes that are accepted."
        )
    body = read_at_most(chunks, end)[begin:]
    if not body:
        raise NotFound(f"{url}: the file has no bytes from {begin} on.")
    return body


def read_at_most(chunks: Iterable[bytes], length: int) -> bytes:
    """The first bytes of a body, at most `length`; what follows is not waited for."""
    body = bytearray()
    for chunk in chunks:
        body += chunk
        if len(body) >= length:
            break
    return bytes(body[:length])


def refusal(error: HfHubHTTPError, url: str) -> HubError:
    """The error that an answer's status stands for, in one sentence that says what to do."""
    status, says = error.response.status_code, f" ({error.server_message})" if error.server_message else ""
    if isinstance(error, GatedRepoError):
        return Refused(f"{url} is gated{says}; ask for access on the model's page, then set HF_TOKEN.")
    if isinstance(error, DisabledRepoError):
        return Refused(f"{url} is disabled by the hub{says}; only the hub's staff can open it.")
    if status == 401:
        return Refused(f"{url} is private or does not exist{says}; set HF_TOKEN to a token that may read it.")
    if status in (403, 451):
        return Refused(f"{url} is not shown to this token{says}; set HF_TOKEN to one that may read it.")
    if status in (404, 410):
        return NotFound(f"{url} does not exist{says}; check its name.")
    if status == 416:
        return NotFound(f"{url} does not have the bytes that were asked for: the file is shorter.")
    return HubError(f"{url}: the hub answers {status}{says}, where 200 was expected.")


def hub_exception(response: httpx2.Response, body: bytes, secret: str | None) -> HfHubHTTPError:
    """huggingface_hub's exception for a response, built from what is safe of it.

    huggingface_hub reads the whole body, believes its form and quotes it. It gets a copy instead: known headers
    only, the hub's message cleaned and cut to one line, no Authorization, and the token nowhere.
    """
    says = printable(without(error_message(response.headers, body), secret))
    kept = [(name, value) for name, value in response.headers.raw if name.lower() in KEPT_HEADERS]
    copy = httpx2.Response(
        response.status_code,
        headers=[(name, without(value.decode("latin-1"), secret).encode("latin-1")) for name, value in kept],
        content=json.dumps({"error": says} if says else {}).encode(),
        request=httpx2.Request("GET", shown(response.request.url)),
    )
    try:
        hf_raise_for_status(copy)
    except HfHubHTTPError as error:
        return error
    return HfHubHTTPError(f"{copy.status_code} {copy.reason_phrase}", response=copy)


def without(text: str, secret: str | None) -> str:
    """A text with a secret blotted out."""
    return text.replace(secret, "***") if secret else text


def error_message(headers: Mapping[str, str], body: bytes) -> str:
    """What a hub says about an error: in a header, or as "error" in a JSON body; else nothing."""
    if message := headers.get("x-error-message"):
        return message
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    message = found.get("error") if isinstance(found, dict) else None
    return message if isinstance(message, str) else ""
