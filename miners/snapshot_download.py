"""Fetches a snapshot from a URL to disk, piece by piece, so that a later run goes on where one was stopped."""

import hashlib
import json
import os
import re
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from miners.crawl import Progress
from miners.http import Answer, HubClient, TooLarge
from schemas.errors import HubError, OutsideError
from schemas.files import UNFINISHED, write_whole

LARGEST = 16 * 2**30  # bytes; hub-stats' models.parquet has 1.5 GB in 2026
PIECE = 32 * 2**20
SIZE = re.compile(r"bytes \d{1,18}-\d{1,18}/(\d{1,18})", re.ASCII)


def is_address(source: str) -> bool:
    """Say whether a source is a web address."""
    return source.startswith(("http://", "https://"))


def download(address: str, folder: Path, limit: int, client: HubClient | None, progress: Progress) -> Path:
    """Fetch a file to a place of its own below `folder`, or the part of it that is not there yet.

    What was fetched before is used as long as the server's file has the same size and the same mark (ETag, or time
    of its last change).

    Raises:
        HubError: the server fails, gives no parts of files, or changes the file meanwhile.
        TooLarge: the file has more than `limit` bytes.
        OutsideError: the disk is full or cannot be written.
    """
    name = re.sub(r"[^A-Za-z0-9._-]", "_", unquote(urlsplit(address).path).rpartition("/")[2])[-100:]
    place = folder / hashlib.sha256(address.encode()).hexdigest()[:16] / name
    hub = client or HubClient()
    try:
        known = _known(hub.get(address, byte_range=(0, 1)), address, limit)
        try:
            _complete(hub, address, place, known, progress)
        except OSError as error:
            raise OutsideError(f"cannot write {place}: {error.strerror or error}") from error
    finally:
        if client is None:
            hub.close()
    return place


class Known(NamedTuple):
    """What tells a version of a file from another: its size, and the server's mark, None where it gives none."""

    size: int
    mark: str | None


def _known(answer: Answer, address: str, limit: int) -> Known:
    found = SIZE.fullmatch(answer.headers.get("content-range", ""))
    if answer.status != 206 or found is None:
        raise HubError(f"{address}: the server gives no parts of files; fetch it yourself and name the file instead.")
    if int(found[1]) > limit:
        raise TooLarge(f"{address} has {found[1]} bytes, at most {limit} are accepted; see --download-limit.")
    return Known(int(found[1]), answer.headers.get("etag") or answer.headers.get("last-modified"))


def _complete(hub: HubClient, address: str, place: Path, known: Known, progress: Progress) -> None:
    mark, partial = place.with_name(f".{place.name}.mark"), place.with_name(f".{place.name}{UNFINISHED}")
    wanted = json.dumps({"url": address, "bytes": known.size, "mark": known.mark})
    if known.mark is None or not mark.exists() or mark.read_text(encoding="utf-8") != wanted:
        for old in (place, partial):
            old.unlink(missing_ok=True)
        write_whole(mark, wanted.encode())
    if place.exists() and place.stat().st_size == known.size:
        return
    with partial.open("ab") as target:
        while (begin := target.tell()) < known.size:
            progress(begin, known.size, "bytes")
            answer = hub.get(address, byte_range=(begin, min(begin + PIECE, known.size)))
            if _known(answer, address, known.size) != known:
                raise HubError(f"{address} changed while it was being fetched; run the same again.")
            target.write(answer.body)
            target.flush()
            os.fsync(target.fileno())
    partial.replace(place)
