"""What the test hub hears and says: a request as it is logged, and a reply before it is sent."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any


@dataclass(frozen=True)
class Request:
    """One request to the hub; a finished one stands in `TestHub.log` with the status of its answer."""

    time: float  # on the hub's clock, when the request had been read
    host: str  # the Host header: which of the hub's two ports was asked
    method: str
    path: str  # percent signs decoded, without the query
    raw_path: str  # as it was sent, without the query
    segments: tuple[str, ...]  # the path cut at its slashes first and decoded then
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]  # names in lower case
    connection: int  # the client's port: the same for requests over one connection
    body: bytes = field(default=b"", repr=False)  # empty in the log
    served: int = 0  # bytes of the answer's body
    status: int | None = None  # None while unanswered, or where the connection was broken on purpose

    @property
    def authorization(self) -> str | None:
        """The Authorization header; None where there was none."""
        return self.headers.get("authorization")

    def values(self, name: str) -> list[str]:
        """The values of a query parameter, given as name=, repeated, as name[]=, or joined by commas."""
        given = [*self.query.get(name, ()), *self.query.get(f"{name}[]", ())]
        return [part for value in given for part in value.split(",") if part]

    def value(self, name: str) -> str | None:
        """The last value of a query parameter; None where it is absent or empty."""
        return (self.query.get(name) or [""])[-1] or None


@dataclass(frozen=True)
class Reply:
    """An answer as the hub means it, before quotas and misbehaviour change it."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    def having(self, **headers: str) -> "Reply":
        """The same reply with further headers; an underscore in a name stands for a hyphen."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return replace(self, headers={**self.headers, **named})


def as_json(value: Any, status: int = 200) -> Reply:
    """A reply whose body is `value` as JSON."""
    headers = {"Content-Type": "application/json; charset=utf-8"}
    return Reply(status, headers, json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass"))


def refusal(status: int, code: str, message: str) -> Reply:
    """An error as the Hub words it: the code and the message in headers, the message also in the body."""
    return as_json({"error": message}, status).having(X_Error_Code=code, X_Error_Message=message)
