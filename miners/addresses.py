"""The web addresses that a hub's client may visit, and how words from outside are shown in messages."""

import httpx2

from schemas.errors import HubError, UsageError


def printable(text: str) -> str:
    """A text from outside as it may stand in a message: one line, no control characters, 200 characters.

    >>> printable("Access\\n  denied\\x1b[31m")
    'Access denied [31m'
    """
    line = "".join(letter if letter.isprintable() else " " for letter in text[:1000])
    return " ".join(line.split())[:200]


def shown(url: httpx2.URL) -> str:
    """An address as it may stand in a message: without password, query and fragment, where secrets can be.

    >>> shown(httpx2.URL("https://hub.example/a?Signature=secret"))
    'https://hub.example/a'
    """
    return printable(str(url.copy_with(username=None, password=None, query=None, fragment=None)))


def is_plain(url: httpx2.URL) -> bool:
    """Whether an address is http or https, has a host, and carries no user name or password."""
    return url.scheme in ("http", "https") and bool(url.host) and not url.userinfo


def checked_endpoint(endpoint: str) -> httpx2.URL:
    """A hub's address, or UsageError."""
    expected = "expected a hub's address like https://huggingface.co, without user name and query"
    try:
        address = httpx2.URL(endpoint)
        plain = is_plain(address) and not address.query and not address.fragment
    except (httpx2.InvalidURL, UnicodeError) as error:
        raise UsageError(f"The endpoint {printable(endpoint)!r} is no address ({error}); {expected}.") from error
    if not plain:
        raise UsageError(f"The endpoint {shown(address)!r} cannot be used; {expected}.")
    return address


def checked_address(address: str) -> httpx2.URL:
    """An address that a caller asks for, or UsageError."""
    expected = "expected a path like /api/models, or an http(s) address"
    try:
        url = httpx2.URL(address)
        plain = is_plain(url)
    except (httpx2.InvalidURL, UnicodeError) as error:
        raise UsageError(f"{printable(address)!r} is no address ({error}); {expected}.") from error
    if not plain:
        raise UsageError(f"{shown(url)!r} cannot be asked for; {expected}.")
    return url


def redirect_target(hop: httpx2.URL, location: str) -> httpx2.URL:
    """Where a redirect leads; HubError if that is no plain web address, or less safe than where it comes from."""
    target = hop.join(location)
    if not is_plain(target):
        raise HubError(f"{shown(hop)} redirects to what is no plain web address: {shown(target)}.")
    if hop.scheme == "https" and target.scheme == "http":
        raise HubError(f"{shown(hop)} redirects from https to unprotected http, {shown(target)}; not followed.")
    return target
