"""The only module that touches the network: patient, polite and distrustful GET requests to a hub.

    HubError            the hub stays out of reach, or answers something that cannot be right (schemas.errors)
    ├── NotFound        what was asked for does not exist: 404, 410, or a range beyond the end of a file (416)
    ├── Refused         the hub wants a token, or another one: 401, 403 (private, gated, disabled), 451
    └── TooLarge        the answer is larger than the caller accepts

Each keeps the exception of huggingface_hub or httpx2 that it comes from as its cause, where there is one.
"""

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

import httpx2
from huggingface_hub import constants
from huggingface_hub.errors import OfflineModeIsEnabled
from huggingface_hub.utils import get_session  # type: ignore[attr-defined]  # its lazy exports hide from mypy

from miners.addresses import checked_address, checked_endpoint, printable, redirect_target, shown
from miners.answers import (
    Answer,
    NotFound,
    Refused,
    TooLarge,
    hub_exception,
    next_page,
    read_at_most,
    read_range,
    read_whole,
    refusal,
)
from miners.credentials import identification
from miners.pacing import LONGEST_WAIT, Pacer, backoff, kind_of, retry_after
from schemas.errors import HubError, UsageError

__all__ = ["DEFAULT_LIMIT", "Answer", "HubClient", "NotFound", "Refused", "TooLarge", "next_page"]

DEFAULT_LIMIT = 64 * 2**20  # bytes; a page of a thousand models with everything expanded has a few million
ERROR_LIMIT = 64 * 2**10  # bytes of an error's or a redirect's body that are read
MOST_REDIRECTS = 5
FIRST_CONTACT_ATTEMPTS = 3  # a hub that was never reached is more likely misspelt than busy
SLOWEST = 1024  # bytes a second, on average once the timeout has passed; slower is a broken transfer
MAY_PASS = (
    httpx2.TimeoutException,
    httpx2.NetworkError,
    httpx2.RemoteProtocolError,
    httpx2.ProxyError,
    httpx2.DecodingError,
)


class _MayPass(Exception):
    """A failure worth another attempt; its cause is the exception behind it."""

    def __init__(self, reason: str, *, wait: float = 0.0, unreachable: bool = False) -> None:
        super().__init__(reason)
        self.wait = wait  # seconds that the hub asks for
        self.unreachable = unreachable


class HubClient:
    """Asks one hub, as often as its quotas allow and until it answers; a context manager, safe to share by threads.

    `endpoint` is the hub's address (None: huggingface_hub's, from HF_ENDPOINT). `token` is sent to that origin
    and to no other (None: as huggingface_hub finds one; False: none), and so are `headers`. `timeout` is how many
    seconds one step may take: connecting, or the wait for the next bytes. `attempts` counts the first one too.
    `transport`, `sleep`, `clock` (monotonic seconds), `now` and `jitter` are where tests hand in their own; without a
    transport the client that huggingface_hub is configured with is used.

    Raises UsageError for an endpoint, a token or a number that cannot work.
    """

    def __init__(
        self,
        endpoint: str | None = None,
        *,
        token: str | bool | None = None,
        headers: Mapping[str, str] | None = None,
        transport: httpx2.BaseTransport | None = None,
        timeout: float = 30.0,
        attempts: int = 8,
        sleep: Callable[[float], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        jitter: random.Random | None = None,
    ) -> None:
        if attempts < 1 or timeout <= 0:
            raise UsageError(f"attempts={attempts}, timeout={timeout}: expected one attempt and a positive time.")
        self._home = checked_endpoint(constants.ENDPOINT if endpoint is None else endpoint)
        self.endpoint = str(self._home).rstrip("/")
        self._headers, self._token = identification(token)
        self._at_home = dict(headers or {}) | ({"authorization": f"Bearer {self._token}"} if self._token else {})
        self._own = own_client(transport)
        self._timeout = timeout
        self._attempts = attempts
        self._clock = clock
        self._now = now
        self._jitter = jitter or random.Random()
        self._pacer = Pacer(clock, sleep)
        self._reached = False

    def get(
        self,
        url: str,
        *,
        parameters: Mapping[str, str | int | Sequence[str]] | None = None,
        byte_range: tuple[int, int] | None = None,
        limit: int = DEFAULT_LIMIT,
    ) -> Answer:
        """Fetch a path below the endpoint, or an absolute address; redirects are followed.

        `byte_range` is [begin, end) in bytes of the file; `limit` is the largest body in bytes that is accepted,
        and no more than that is ever read into memory. Raises NotFound, Refused or TooLarge, HubError for what
        stays broken after all attempts or cannot be right, and UsageError for arguments that cannot work.
        """
        address = self._address(url, parameters)
        check_range(byte_range, limit)
        attempt = 0
        while True:
            attempt += 1
            try:
                with named_failures():
                    return self._follow(address, byte_range, limit)
            except _MayPass as failure:
                if attempt >= self._allowed(failure):
                    raise HubError(self._given_up(address, failure, attempt)) from failure.__cause__
                self._pacer.rest(max(failure.wait, backoff(attempt, self._jitter)), str(failure))

    def limit(self, *, requests: int | None = None, hours: float | None = None, share: float = 1.0) -> None:
        """Send at most so many requests from now on, for so many hours, using that share of the hub's quotas.

        Where that is over, `get` raises miners.pacing.Enough.
        """
        self._pacer.limit(requests, None if hours is None else hours * 3600, share)

    def report(self, say: Callable[[str], None]) -> None:
        """Let `say` hear of waits of more than a few seconds: for a quota, or for a hub that does not answer."""
        self._pacer.say = say

    @property
    def requests(self) -> int:
        """How many requests this client has sent to its hub."""
        return self._pacer.requests

    def quota(self, kind: str) -> tuple[int, float] | None:
        """Requests of a kind (api, resolvers) that the hub takes, and in how many seconds; None before it has said."""
        return self._pacer.announced(kind)

    def close(self) -> None:
        """Close the connections that are this client's own, and wake the threads that wait for their turn."""
        self._pacer.stop()
        if self._own is not None:
            self._own.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"HubClient({self.endpoint!r})"

    def _address(self, url: str, parameters: Mapping[str, str | int | Sequence[str]] | None) -> httpx2.URL:
        address = checked_address(self.endpoint + url if url.startswith("/") else url)
        return address if parameters is None else address.copy_merge_params(parameters)

    def _allowed(self, failure: _MayPass) -> int:
        never_reached = failure.unreachable and not self._reached
        return min(self._attempts, FIRST_CONTACT_ATTEMPTS) if never_reached else self._attempts

    def _given_up(self, address: httpx2.URL, failure: _MayPass, attempt: int) -> str:
        count = "1 attempt" if attempt == 1 else f"{attempt} attempts"
        advice = "check the address and the network" if failure.unreachable else "try again later"
        return f"{shown(address)} cannot be read: {failure} ({count}); {advice}."

    def _follow(self, address: httpx2.URL, byte_range: tuple[int, int] | None, limit: int) -> Answer:
        hop = address
        for _ in range(MOST_REDIRECTS + 1):
            with self._response(hop, byte_range) as response:
                if not response.has_redirect_location:
                    return self._answer(address, response, byte_range, limit)
                read_at_most(self._chunks(response), ERROR_LIMIT)  # to its end, so that the connection can be kept
                hop = redirect_target(hop, response.headers["location"])
        raise HubError(f"{shown(address)} redirects more than {MOST_REDIRECTS} times.")

    @contextmanager
    def _response(self, hop: httpx2.URL, byte_range: tuple[int, int] | None) -> Iterator[httpx2.Response]:
        at_home = hop.origin == self._home.origin
        headers = self._headers | (self._at_home if at_home else {})
        if byte_range is not None:
            headers |= {"range": f"bytes={byte_range[0]}-{byte_range[1] - 1}", "accept-encoding": "identity"}
        client = self._own or get_session()
        request = client.build_request("GET", hop, headers=headers, timeout=self._timeout)
        response = self._sent(client, request, kind_of(hop.path) if at_home else None)
        self._reached = True
        try:
            yield response
        finally:
            response.close()

    def _sent(self, client: httpx2.Client, request: httpx2.Request, kind: str | None) -> httpx2.Response:
        """The answer's head; requests of a `kind` are the hub's own and wait for its quota."""
        if kind is None:
            return client.send(request, stream=True, follow_redirects=False, auth=None)
        self._pacer.enter(kind)
        headers: Mapping[str, str] = {}
        try:
            response = client.send(request, stream=True, follow_redirects=False, auth=None)
            headers = response.headers
            return response
        finally:
            self._pacer.note(kind, headers)

    def _answer(
        self, address: httpx2.URL, response: httpx2.Response, byte_range: tuple[int, int] | None, limit: int
    ) -> Answer:
        if response.status_code != 200 and not (response.status_code == 206 and byte_range is not None):
            self._refuse(address, response)
        url, chunks = shown(address), self._chunks(response)
        if byte_range is None:
            body = read_whole(url, response.headers, chunks, limit)
        else:
            body = read_range(url, response.status_code, response.headers, chunks, byte_range, limit)
        return Answer(str(address), response.status_code, response.headers, body, self._now())

    def _chunks(self, response: httpx2.Response) -> Iterator[bytes]:
        """The body piece by piece; a hub that drips it for ever counts as one that timed out."""
        begun, received = self._clock(), 0
        for chunk in response.iter_bytes():
            yield chunk
            received += len(chunk)
            if self._clock() - begun > self._timeout + received / SLOWEST:
                raise httpx2.ReadTimeout(f"slower than {SLOWEST} bytes a second")

    def _refuse(self, address: httpx2.URL, response: httpx2.Response) -> None:
        error = hub_exception(response, read_at_most(self._chunks(response), ERROR_LIMIT), self._token)
        status = response.status_code
        if status not in (408, 429) and status < 500:
            raise refusal(error, shown(address)) from error
        wait = retry_after(response.headers, self._now()) or 0.0
        if wait > LONGEST_WAIT:
            raise HubError(
                f"{shown(address)}: the hub asks to wait {wait / 3600:.1f} hours; come back then."
            ) from error
        said = f"{response.request.url.host} answers {status} {error.response.reason_phrase}"
        raise _MayPass(said, wait=wait) from error


@contextmanager
def named_failures() -> Iterator[None]:
    """Turn the exceptions of the transport into those of this module."""
    try:
        yield
    except OfflineModeIsEnabled as error:
        raise HubError("The network is switched off by HF_HUB_OFFLINE; unset it to ask a hub.") from error
    except MAY_PASS as error:
        unreachable = isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout)
        raise _MayPass(printable(str(error)) or type(error).__name__, unreachable=unreachable) from error
    except (httpx2.HTTPError, httpx2.InvalidURL, UnicodeError) as error:
        raise HubError(f"The request cannot be sent: {printable(str(error))}.") from error


def check_range(byte_range: tuple[int, int] | None, limit: int) -> None:
    """UsageError for a range that is empty, negative, or longer than the limit."""
    if byte_range is None:
        return
    begin, end = byte_range
    if not 0 <= begin < end:
        raise UsageError(f"byte_range={byte_range}: expected 0 <= begin < end.")
    if end - begin > limit:
        raise UsageError(f"byte_range={byte_range} has {end - begin} bytes, limit={limit}: raise the limit.")


def own_client(transport: httpx2.BaseTransport | None) -> httpx2.Client | None:
    """A client on a given transport, with the hooks of huggingface_hub's (offline mode, request ids)."""
    return httpx2.Client(transport=transport, event_hooks=get_session().event_hooks) if transport else None
