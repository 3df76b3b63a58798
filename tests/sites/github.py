"""GitHub on loopback: archives and raw files, each behind a redirect to a host of its own."""

from collections.abc import Mapping
from dataclasses import dataclass

from tests.hub import Reply, TestHub
from tests.hub.messages import Request
from tests.hub.routes import Site

NOT_FOUND = Reply(404, {"Content-Type": "text/html; charset=utf-8"}, b"<html><title>Page not found</title></html>")


class GitHub(TestHub):
    """Serves `archives` by `owner/name`, and `raw` files by `owner/name/branch/path`; a private one wants a token."""

    def __init__(self, archives: Mapping[str, bytes] | None = None, raw: Mapping[str, bytes] | None = None) -> None:
        super().__init__([])
        self.site = Pages(**vars(self.site), archives=archives or {}, raw=raw or {}, elsewhere=self.blob_host_url)


@dataclass(frozen=True)
class Pages(Site):
    """What GitHub answers on either host."""

    archives: Mapping[str, bytes]
    raw: Mapping[str, bytes]
    elsewhere: str

    def answer(self, request: Request) -> Reply:
        """Redirect away from the home host, serve on the other."""
        parts = [part for part in request.segments if part]
        if self.elsewhere.endswith(request.host):
            return self._served(parts)
        if len(parts) > 3 and parts[2] == "raw":
            return Reply(302, {"Location": "/".join([self.elsewhere, "raw", *parts[:2], *parts[3:]])})
        if parts[2:] == ["archive", "HEAD.tar.gz"]:
            return Reply(302, {"Location": "/".join([self.elsewhere, *parts[:2], "tar.gz", "HEAD"])})
        return NOT_FOUND

    def _served(self, parts: list[str]) -> Reply:
        if parts[0] == "raw":
            body = self.raw.get("/".join(parts[1:]))
        else:
            body = self.archives.get("/".join(parts[:2])) if parts[2:] == ["tar.gz", "HEAD"] else None
        return NOT_FOUND if body is None else Reply(200, {"Content-Type": "application/octet-stream"}, body)
