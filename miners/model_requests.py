"""Asks a hub about single models by name, and tells which of them are gone or have another name now."""

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import NamedTuple
from urllib.parse import quote

import polars as pl
from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

from miners.batch import TIME, Batch
from miners.committing import Change
from miners.crawl import Progress, Run
from miners.fetching import Fetched, fetch_all
from miners.http import Answer, HubClient, NotFound, Refused
from miners.interrupts import uninterrupted
from miners.json_values import fetch_json
from miners.listing import EXPAND
from miners.pages import Page
from miners.raw import keep
from miners.records import HUB, record_id, rows
from miners.targets import Target
from schemas.errors import DataError, HubError
from schemas.mined import merge_models
from schemas.vanished import note_gone

GONE = {"model_id": pl.String(), "new_id": pl.String(), "observed_at": TIME}


class Found(NamedTuple):
    """What the hub says of a model: its record and, if that has another name, that name; or why there is none."""

    answer: Answer | None
    new_name: str | None
    gone: str | None


def fetch_model(client: HubClient, target: Target) -> Fetched[Found]:
    """Ask for one model's record; the old name of a renamed one leads to the new one."""
    try:
        answer, record = fetch_json(client, f"/api/models/{quote(target.name)}", dict, {"expand": EXPAND})
    except DataError as error:
        return Fetched(target, failures=[str(error)])
    except (NotFound, Refused) as error:
        if not _says_gone(error):
            raise
        return Fetched(target, found=Found(None, None, str(error)))
    name = record_id(record)
    if name is None:
        return Fetched(target, [answer], failures=["the record has no usable id"])
    return Fetched(target, [answer], Found(answer, None if name == target.name else name, None))


def _says_gone(error: HubError) -> bool:
    """Whether the hub says that it shows no such model; a token that has run out says nothing of that kind."""
    hidden = isinstance(error.__cause__, RepositoryNotFoundError) and not isinstance(error.__cause__, GatedRepoError)
    return isinstance(error, NotFound) or hidden


def mine_models(run: Run, hub: HubClient, names: Sequence[str], done: int, progress: Progress) -> None:
    """Bring the models of these names up to date, but for the first `done`; the run's cursor counts them.

    A model that the hub does not show is a failure of the stage listing and, if the lake knows it, an event.
    """
    targets = [Target(f"{HUB}:{name}", None, None) for name in names[done:]]
    for portion in fetch_all(targets, len(targets), partial(fetch_model, hub), progress, "models"):
        done += len(portion)
        batch = _batch(run, portion)
        lost = {one.target.model_id: reason for one in portion if (reason := _why_lost(one))}
        for model_id, reason in lost.items():
            batch.fail(model_id, "listing", reason)
        batch.seen += len(lost)
        changes = _changes(run, portion, batch)
        with uninterrupted():
            _count(run, batch)
            run.queue(*changes, records=len(portion))
            run.cursor = str(done)
        run.commit_if_due()
    run.cursor, run.listed_at = None, run.now()


def look_for(run: Run, hub: HubClient, names: Sequence[str], progress: Progress) -> None:
    """Ask what became of models that the listing does not name: deleted, renamed, or there all the same."""
    targets = [Target(f"{HUB}:{name}", None, None) for name in names]
    for portion in fetch_all(targets, len(targets), partial(fetch_model, hub), progress, "vanished"):
        batch = _batch(run, portion)
        for one in portion:
            for reason in one.failures:
                batch.fail(one.target.model_id, "listing", reason)
        run.add(*_changes(run, portion, batch), records=len(portion))


def _why_lost(one: Fetched[Found]) -> str | None:
    """Why nothing came of a model."""
    return "; ".join(one.failures) or (one.found.gone if one.found else None)


def _batch(run: Run, portion: Sequence[Fetched[Found]]) -> Batch:
    answers = [one.found.answer for one in portion if one.found is not None and one.found.answer is not None]
    if not answers:
        return Batch()
    kept = sum(1 for _ in run.folder.glob("models-*.parquet"))
    keep(run.folder, f"models-{kept:06d}", answers)
    pages = [Page(answer.url, answer.fetched_at, b"[" + answer.body + b"]") for answer in answers]
    return rows(pages, run.crawl.crawl_id)


def _count(run: Run, batch: Batch) -> None:
    run.crawl.rows_seen += batch.seen
    run.crawl.rows_stored += batch.stored
    run.crawl.failures += batch.failed


def _changes(run: Run, portion: Sequence[Fetched[Found]], batch: Batch) -> tuple[Change, Change]:
    now = run.now()
    gone = [_gone(one.target, one.found, now) for one in portion if one.found and not _is_there(one.found)]
    tables = batch.tables(HUB, run.crawl.crawl_id, now)
    vanished = pl.DataFrame(gone, GONE, orient="row")
    return partial(merge_models, tables=tables), partial(note_gone, gone=vanished, crawl_id=run.crawl.crawl_id)


def _is_there(found: Found) -> bool:
    return found.gone is None and found.new_name is None


def _gone(target: Target, found: Found, now: datetime) -> tuple[str, str | None, datetime]:
    return target.model_id, None if found.new_name is None else f"{HUB}:{found.new_name}", now
