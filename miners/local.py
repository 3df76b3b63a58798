"""The miner of this machine's folders: model repositories, one of them, or the Hugging Face cache."""

import json
import re
import time
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from miners.addresses import printable
from miners.batch import MOST_COMPLAINTS, Batch, Failure
from miners.cards import SIZE_LIMIT, Card, read_card
from miners.cards.rows import ReadCard, add_cards
from miners.crawl import Crawl, Progress, Run, silent
from miners.eval_results import LIMIT, add_eval_results, holds_results
from miners.evaluations import SOURCE as MODEL_INDEX
from miners.fields import Json
from miners.folders import Entry, Repository, entries, is_described, readable, repositories
from miners.headers.header import Header
from miners.headers.numpy import is_data
from miners.headers.reading import format_of, read_header
from miners.headers.source import on_disk
from miners.listed_files import FormatByPath
from miners.nothing import check_stored
from miners.package import Lost
from miners.pages import storable
from miners.places import Places
from miners.records import HUB as NAMED_BY_CARDS
from miners.records import add_models, moments, revisions
from miners.targets import CARD
from miners.weight_files import indices, main_files, shards, to_read
from miners.weight_rows import Headers, add_headers
from schemas.carded import merge_cards, merge_results
from schemas.errors import DataError
from schemas.lake import Lake
from schemas.mined import link_neighbours, mark_deleted, merge_models, merge_tensors

HUB = "local"
CONFIG = "config.json"
CONFIG_LIMIT = 2**24  # bytes
TOGETHER = 200  # repositories
LONGEST_SHOWN = 80
BLOB = re.compile(r"[0-9a-f]{64}")  # the cache names the blob of a large file by its SHA-256


def mine(
    lake: Lake,
    *,
    folder: str | Path,
    progress: Progress | None = None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    clock: Callable[[], float] = time.monotonic,
) -> Crawl:
    """Bring the model repositories in `folder` into the lake as `local:owner/name`, cards and tensors included.

    Of weights only the headers are read; pickles are followed, never loaded. A second run over the same folder
    brings the rows up to date and marks the models that are gone as deleted. What cannot be read leaves a row in
    `failure`, and so does a repository whose model_id belongs to another one that still exists.

    Raises:
        UsageError: the folder does not exist or holds no model.
        DataError: none of what looks like a model can be stored; the failures are.
        LakeBusy: another process holds the lake at the start, or this one does at the end.
    """
    found, unreadable = repositories(Path(folder))
    source = readable(str(Path(folder).resolve()))
    with Run(lake, HUB, {"folder": str(folder)}, source, now, clock, progress or silent) as run:
        places, broken = Places(lake, HUB), list[Failure]()
        for begin in range(0, len(found), TOGETHER):
            portion = found[begin : begin + TOGETHER]
            broken += _mine_portion(run, portion, places)
            (progress or silent)(begin + len(portion), len(found), "models")
        unseen = [*(readable(str(place)) for place in unreadable), *(failure.subject for failure in broken)]
        run.add(
            partial(merge_models, tables=_unreadable_batch(unreadable).tables(HUB, run.crawl.crawl_id, run.now())),
            partial(mark_deleted, hub=HUB, source=source, crawl_id=run.crawl.crawl_id, unseen=unseen),
            partial(link_neighbours, hub=HUB, named=NAMED_BY_CARDS),
        )
        run.crawl.unread += len(unreadable)
        if broken:
            check_stored(run.crawl, str(folder), broken)
    return run.crawl


def _unreadable_batch(unreadable: Mapping[Path, str]) -> Batch:
    batch = Batch()
    for place, reason in unreadable.items():
        batch.fail(readable(str(place)), "file", reason)
    return batch


def _mine_portion(run: Run, portion: list[Repository], places: Places) -> list[Failure]:
    """Store repositories; gives those of which nothing could be read."""
    batch, at, crawl = Batch(), run.now(), run.crawl
    records: dict[str, Json] = {}
    broken: list[Failure] = []
    for repository in portion:
        name = readable(repository.name)
        if _breaks_lines(name):
            reason = f"a model cannot be called {name[:LONGEST_SHOWN]!r}: rename it without line breaks and the like"
            broken.append(Failure(printable(readable(str(repository.place))), "listing", reason))
            continue
        if other := places.other(f"{HUB}:{name}", repository):
            reason = f"{HUB}:{name} is already the model in {other}; rename one of the two folders"
            batch.fail(readable(str(repository.place)), "listing", reason)
            continue
        found = _record(batch, repository, at)
        if isinstance(found, Lost):
            broken.append(Failure(found.subject, "listing", found.reason))
        else:
            records[name] = found
    batch.failures += broken
    batch.seen, batch.stored = len(portion), len(records)
    add_models(batch, records, HUB, crawl.crawl_id, moments([at] * len(records)))
    for model in batch.frames.get("model", []):
        batch.add("revision", revisions(model, "cache"))
    tables = batch.tables(HUB, crawl.crawl_id, at)
    details = {name: frame for name, frame in tables.items() if name != "failure"}
    if "evaluation" in tables:
        tables["evaluation"] = tables["evaluation"].filter(source=MODEL_INDEX)
    asked = [f"{HUB}:{name}" for name in records]
    crawl.rows_seen += batch.seen
    crawl.rows_stored += batch.stored
    crawl.failures += batch.failed
    crawl.unread += batch.unread
    crawl.cards += _height(tables, "card")
    crawl.tensors += _height(tables, "tensor")
    run.add(
        partial(merge_models, tables=tables),
        partial(merge_cards, asked=asked, tables=details),
        partial(merge_tensors, asked=asked, tables=details),
        partial(merge_results, asked=asked, tables=details),
        records=batch.seen,
    )
    return broken


def _height(tables: dict[str, pl.DataFrame], table: str) -> int:
    return tables[table].height if table in tables else 0


def _record(batch: Batch, repository: Repository, at: datetime) -> Json | Lost:
    """Describe a repository as the Hub would in its listing; card and tensors go to the batch at once.

    One that nothing describes, and of whose weights none can be read or holds anything, is lost: it may be no model.
    """
    model_id = f"{HUB}:{readable(repository.name)}"
    found = list(entries(repository))
    files = {entry.path: entry for entry in found if not entry.problem}
    refused = [entry for entry in found if entry.problem]
    headers, problems = _weights(files)
    if not is_described(files) and not any(map(_tells, headers.files.values())) and not _are_elsewhere(files):
        empty = [f"{path}: it holds no tensors" for path in headers.files]
        reasons = [*problems, *empty, *(f"{entry.path}: {entry.problem}" for entry in refused)]
        if reasons:
            return Lost(readable(str(repository.place)), "; ".join(reasons[:MOST_COMPLAINTS]))
    for entry in refused:
        batch.fail(f"{model_id}/{entry.path}", "file", str(entry.problem))
    for problem in problems:
        batch.fail(model_id, "tensors", problem)
    add_headers(batch, model_id, headers)
    card = _card(batch, model_id, files, repository.sha, at)
    _add_results(batch, model_id, files)
    metadata = card.metadata or {} if card else {}
    return {
        "sha": repository.sha,
        "location": readable(str(repository.place)),
        "lastModified": _time(max((entry.modified for entry in files.values()), default=None)),
        "pipeline_tag": metadata.get("pipeline_tag"),
        "library_name": metadata.get("library_name"),
        "tags": metadata.get("tags") or [],
        "cardData": metadata,
        "model-index": metadata.get("model-index"),
        "config": _config(batch, model_id, files),
        "safetensors": {"total": headers.parameters},
        "siblings": [_sibling(entry) for entry in files.values()],
        "usedStorage": sum(entry.size for entry in files.values()),
        "spaces": [],
    }


def _breaks_lines(name: str) -> bool:
    return any(unicodedata.category(letter) in ("Cc", "Zl", "Zp") for letter in name)


def _tells(header: Header) -> bool:
    """Say whether there is anything in a file of weights."""
    return bool(header.tensors or header.facts or header.problems)


def _are_elsewhere(files: Iterable[str]) -> bool:
    """Say whether there are weights in a format that is not read here."""
    formats = FormatByPath()
    return any(formats[path] is not None and format_of(path) is None for path in files)


def _time(seconds: float | None) -> str | None:
    try:
        return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat()
    except (ValueError, OverflowError, OSError):  # before the year 1 or after 9999
        return None


def _sibling(entry: Entry) -> Json:
    blob = entry.place.readlink().name if entry.place.is_symlink() else ""
    lfs = {"lfs": {"sha256": blob}} if BLOB.fullmatch(blob) else {}
    return {"rfilename": entry.path, "size": entry.size, **lfs}


def _read(entry: Entry, most: int, begin: int = 0) -> bytes:
    with entry.place.open("rb") as opened:
        opened.seek(begin)
        return opened.read(most)


def _card(batch: Batch, model_id: str, files: dict[str, Entry], sha: str | None, at: datetime) -> Card | None:
    if CARD not in files:
        return None
    entry = files[CARD]
    try:
        card = read_card(_read(entry, SIZE_LIMIT + 1))
    except OSError as error:
        batch.fail(model_id, "card", f"{CARD} cannot be read: {error.strerror}")
        return None
    add_cards(batch, [ReadCard(model_id, sha, card, entry.size, at)])
    return card


def _add_results(batch: Batch, model_id: str, files: dict[str, Entry]) -> None:
    """Add what the repository's files of published results say."""
    for path in sorted(filter(holds_results, files)):
        try:
            add_eval_results(batch, [model_id], [_read(files[path], LIMIT + 1)])
        except OSError as error:
            batch.fail(model_id, "card", f"{path} cannot be read: {error.strerror}")


def _config(batch: Batch, model_id: str, files: dict[str, Entry]) -> Any:
    if CONFIG not in files:
        return None
    try:
        text = _read(files[CONFIG], CONFIG_LIMIT).decode("utf-8-sig")
        return json.loads(storable(text))
    except OSError as error:
        batch.fail(model_id, "config", f"{CONFIG} cannot be read: {error.strerror}")
    except (ValueError, RecursionError) as error:
        batch.fail(model_id, "config", f"{CONFIG} is not JSON: {error}")
    return None


class _Weights(NamedTuple):
    """The headers of a repository's weights, and why those that are not there could not be read."""

    headers: Headers
    problems: list[str]


def _weights(files: dict[str, Entry]) -> _Weights:
    """Read the weight files' headers, and find out which make up the model together."""
    problems: list[str] = []
    named = _indices(problems, files)
    chosen = {*to_read(files, named), *(path for path in files if format_of(path) == "safetensors")}
    found: dict[str, Header] = {}
    for path in sorted(chosen & files.keys()):
        try:
            header = read_header(path, on_disk(files[path].place, files[path].size))
            if format_of(path) == "numpy" and is_data(header):
                names = ", ".join(tensor.name for tensor in header.tensors[:4])
                raise DataError(f"its arrays are called {names}: a data set, and no weights")
            found[path] = header
        except (DataError, OSError) as error:
            problems.append(f"{path}: {error}")
    broken = [path for path in (*chosen, *indices(files)) if path not in found and path not in named]
    return _Weights(Headers(found, main_files(found, named, broken)), problems)


def _indices(problems: list[str], files: dict[str, Entry]) -> dict[str, list[str]]:
    named = {}
    for path in indices(files):
        try:
            named[path] = shards(_read(files[path], CONFIG_LIMIT), path)
        except (DataError, OSError) as error:
            problems.append(f"{path}: {error}")
    return named
