"""The test hub itself: a threading HTTP/1.1 server on loopback that can misbehave and logs what it was asked."""

import gzip
import socket
import struct
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from fnmatch import fnmatchcase
from functools import reduce
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from operator import or_
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import parse_qs, unquote, urlsplit

from tests.hub.catalogue import LARGEST_PAGE, Catalogue, Record
from tests.hub.faults import Fault, Order, Orders, spoiled
from tests.hub.messages import Reply, Request, refusal
from tests.hub.quotas import Quota, Turnstile, kind_of
from tests.hub.repositories import Repositories
from tests.hub.routes import Histories, Site
from tests.hub.uploads import Uploads, said_by_card, said_by_config


class TestHub:
    """A hub that serves records and a folder of repositories; a context manager that owns its threads.

    `records` are listed in their order; without any, the repositories are listed. `token` logs a client in and
    opens private models, and the gated ones named in `granted`. `quotas` limits requests by kind (api, resolvers,
    pages). `large_files` says where weights lie: on this host, or on another port ("elsewhere"). `compress`
    sends JSON as gzip to whoever accepts that. `patience` is how many seconds an ordered timeout lasts. `largest_page`
    is how many records a page has at most; `histories` are commits and discussions. `uploads` is a folder for what
    clients upload, models and datasets, who then are all that is listed; `token` is what they need for it.
    """

    __test__ = False  # the name begins with Test, but pytest shall not collect it

    def __init__(
        self,
        records: Iterable[Record] | None = None,
        repositories: Path | None = None,
        *,
        token: str | None = None,
        granted: Collection[str] = (),
        quotas: Mapping[str, Quota] | None = None,
        large_files: Literal["here", "elsewhere"] = "here",
        compress: bool = False,
        patience: float = 2.0,
        largest_page: int = LARGEST_PAGE,
        histories: Histories | None = None,
        uploads: Path | None = None,
        port: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if uploads is not None:
            (uploads / "models").mkdir(parents=True, exist_ok=True)
            repositories = uploads / "models"
        folder = Repositories(repositories)
        listed = [described(folder, name) for name in folder.names()] if records is None else records
        self.log: list[Request] = []
        self.compress = compress
        self.patience = patience
        self.closing = threading.Event()
        self.turnstile = Turnstile(quotas or {}, clock)
        self.orders = Orders()
        self.clock = clock
        self._servers = [Server(self, port), Server(self, 0)]
        self.url, self.blob_host_url = (server.url for server in self._servers)
        blob_url = {"here": self.url, "elsewhere": self.blob_host_url}[large_files]
        catalogue = Catalogue(listed, largest_page)
        self.site = Site(catalogue, folder, self.url, blob_url, token, frozenset(granted), histories or Histories())
        self.uploads = None if uploads is None else Uploads(uploads, self.url, token, self._changed)
        kept = Repositories(None if uploads is None else uploads / "datasets")
        datasets = Catalogue([described(kept, name) for name in kept.names()], largest_page)
        places = (f"{self.url}/datasets", f"{blob_url}/datasets")
        self.datasets = Site(datasets, kept, *places, token, frozenset(granted), Histories())

    def _changed(self, kind: str, name: str) -> None:
        """List what is in the uploaded repositories now."""
        site = self.site if kind == "models" else self.datasets
        repositories = site.repositories
        names = repositories.names()
        said = (described, said_by_card, said_by_config)
        site.catalogue.replace([reduce(or_, (say(repositories, each) for say in said)) for each in names])

    def answer(self, request: Request) -> Reply:
        """The answer to a request: an upload, something of the datasets, or of the models."""
        if self.uploads is not None and (reply := self.uploads.answer(request)) is not None:
            return reply
        if request.segments[:2] == ("api", "datasets"):
            return self.datasets.answer(replace(request, segments=("api", "models", *request.segments[2:])))
        if request.segments[:1] == ("datasets",):
            return self.datasets.answer(replace(request, segments=request.segments[1:]))
        return self.site.answer(request)

    @property
    def served(self) -> int:
        """Bytes of all bodies that were sent so far."""
        return sum(request.served for request in self.log)

    def misbehave(self, path_pattern: str, kind: Fault | Reply, times: int = 1) -> None:
        """Answer the next `times` requests whose path matches (fnmatch) with a fault or a reply of your own."""
        self.orders.add(Order(path_pattern, kind, times))

    def change(self, records: Iterable[Record], moved: Mapping[str, str] | None = None) -> None:
        """List other records from now on; `moved` gives the new names of models that had others before."""
        self.site.catalogue.replace(records, moved)

    def requests(self, path_pattern: str = "*") -> list[Request]:
        """The logged requests whose path matches (fnmatch), oldest first."""
        return [request for request in self.log if fnmatchcase(request.path, path_pattern)]

    def close(self) -> None:
        """Break all connections off and wait for the threads."""
        self.closing.set()
        for server in self._servers:
            server.stop()

    def __enter__(self) -> Self:
        for server in self._servers:
            server.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def described(folder: Repositories, name: str) -> dict[str, Any]:
    """The record of a repository that nobody gave one for."""
    return {
        "id": name,
        "modelId": name,
        "sha": folder.commit(name),
        "private": False,
        "gated": False,
        "disabled": False,
        "downloads": 0,
        "likes": 0,
        "tags": [],
        "createdAt": "2024-01-01T00:00:00.000Z",
        "lastModified": "2024-01-01T00:00:00.000Z",
        "siblings": [file.sibling(details=False) for file in folder.files(name)],
    }


class Server(ThreadingHTTPServer):
    """One listening port of the hub, with a thread for itself and one for each connection."""

    daemon_threads = False  # so that closing waits for the handlers
    request_queue_size = 128

    def __init__(self, hub: TestHub, port: int) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.hub = hub
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02})
        self._connections: set[socket.socket] = set()
        self._lock = threading.Lock()

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Stop answering, break open connections off, and wait for every thread."""
        if self._thread.is_alive():
            self.shutdown()
            self._thread.join()
        with self._lock:
            for connection in self._connections:
                hang_up(connection)
        self.server_close()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Remember a connection, so that it can be broken off."""
        with self._lock:
            self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Forget a connection that ends."""
        with self._lock:
            self._connections.discard(request)
        super().shutdown_request(request)


class Handler(BaseHTTPRequestHandler):
    """Reads requests from one connection and answers them."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # headers and body leave in one piece
    server: Server

    def do_GET(self) -> None:
        """Answer a request; the order of the steps is the Hub's: fault, quota, answer."""
        hub, request = self.server.hub, self._request()
        kind = hub.orders.take(request.path)
        reply = None if kind in ("timeout", "reset") else self._reply(request, kind)
        status, served = (None, 0) if reply is None else (reply.status, len(reply.body))
        hub.log.append(replace(request, body=b"", status=status, served=0 if self.command == "HEAD" else served))
        if reply is not None:
            self._send(reply, kind)
        elif kind == "timeout":
            self._fall_silent()
        else:
            self._reset()

    def do_HEAD(self) -> None:
        """Answer like GET, without the body."""
        self.do_GET()

    def do_POST(self) -> None:
        """Answer like GET; what was sent is the request's body."""
        self.do_GET()

    def do_PUT(self) -> None:
        """Answer like POST."""
        self.do_GET()

    def _body(self) -> bytes:
        """What a client sends, in one piece or in chunks."""
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = bytearray()
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return bytes(body)

    def _request(self) -> Request:
        parts = urlsplit(self.path)
        return Request(
            time=self.server.hub.clock(),
            host=self.headers.get("Host", ""),
            method=self.command,
            path=unquote(parts.path),
            raw_path=parts.path,
            segments=tuple(unquote(segment) for segment in parts.path.split("/")[1:]),
            query=parse_qs(parts.query, keep_blank_values=True),
            headers={name.lower(): value for name, value in self.headers.items()},
            connection=self.client_address[1],
            body=self._body(),
        )

    def _reply(self, request: Request, kind: Fault | Reply | None) -> Reply:
        if "blobs" in request.segments[:2]:  # files elsewhere have no quota
            return self._well_or_spoiled(request, kind)
        admitted, quota_headers = self.server.hub.turnstile.admit(kind_of(request))
        if admitted:
            reply = self._well_or_spoiled(request, kind)
        else:
            reply = refusal(429, "TooManyRequests", "We had to rate limit you.")
        return replace(reply, headers={**quota_headers, **reply.headers})

    def _well_or_spoiled(self, request: Request, kind: Fault | Reply | None) -> Reply:
        if isinstance(kind, Reply):
            return kind
        if kind == "ignored range":
            request = replace(request, headers={**request.headers, "range": ""})
        reply = self.server.hub.answer(request)
        if self.server.hub.compress and "gzip" in request.headers.get("accept-encoding", ""):
            reply = compressed(reply)
        return reply if kind is None else spoiled(reply, kind)

    def _send(self, reply: Reply, kind: Fault | Reply | None) -> None:
        self.send_response_only(reply.status)
        length = len(reply.body) + (1000 if kind == "wrong content-length" else 0)
        defaults = {"Date": self.date_time_string(), "Content-Length": str(length)}
        for name, value in (defaults | dict(reply.headers)).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            cut = len(reply.body) // 2 if kind == "cut body" else len(reply.body)
            self.wfile.write(reply.body[:cut])
        if kind == "cut body":
            self.close_connection = True
        if kind == "wrong content-length":
            self.wfile.flush()
            self._fall_silent()

    def _fall_silent(self) -> None:
        self.server.hub.closing.wait(self.server.hub.patience)
        self.close_connection = True

    def _reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()

    def handle(self) -> None:
        """Serve a connection until either side ends it; a client that goes away is no error."""
        try:
            super().handle()
        except OSError:
            self.close_connection = True

    def finish(self) -> None:
        """Send what is left, unless the client is gone."""
        try:
            super().finish()
        except OSError:
            self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        """Print nothing: `TestHub.log` holds the requests."""


def compressed(reply: Reply) -> Reply:
    """A JSON reply as gzip; others as they are."""
    if not reply.headers.get("Content-Type", "").startswith("application/json"):
        return reply
    return replace(reply, body=gzip.compress(reply.body, 1)).having(Content_Encoding="gzip")


def hang_up(connection: socket.socket) -> None:
    """Wake a thread that reads from a connection, by ending the connection."""
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:  # the other side was quicker
        return
