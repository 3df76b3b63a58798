"""What a run fetches of each model beside the listing: one phase after the other, for whoever lacks it in the lake."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import polars as pl

from miners.batch import TIME, Batch
from miners.card_requests import card_batch, fetch_card
from miners.commit_requests import commit_batch, fetch_commits
from miners.config_requests import config_batch, fetch_config
from miners.crawl import Progress, Run
from miners.discussion_requests import discussion_batch, fetch_discussions
from miners.fetching import Fetched, fetch_all
from miners.header_requests import fetch_headers, header_batch
from miners.http import HubClient
from miners.raw import keep
from miners.targets import Target, targets
from miners.tree_requests import fetch_tree, tree_batch
from schemas.carded import merge_card_statements, merge_cards, merge_results
from schemas.fetched import merge_commits, merge_configs, merge_discussions, merge_files, note_fetched
from schemas.lake import Lake
from schemas.mined import merge_tensors
from schemas.transaction import Transaction

Tables = dict[str, pl.DataFrame]
NO_ROWS = pl.DataFrame(schema={"model_id": pl.String()})
Merge = Callable[[Transaction, Sequence[str], Tables], None]


@dataclass(frozen=True)
class Phase:
    """A kind of thing to fetch: which quota it takes, how it is asked for, read and merged, and the table it fills."""

    quota: str
    table: str
    fetch: Callable[[HubClient, Target], Fetched[Any]]
    batch: Callable[[Sequence[Fetched[Any]]], Batch]
    merge: Merge


def _merge_cards(transaction: Transaction, asked: Sequence[str], tables: Tables) -> None:
    merge_cards(transaction, asked, tables)
    merge_card_statements(transaction, tables)
    merge_results(transaction, asked, tables)


PHASES = {
    "cards": Phase("resolvers", "card", fetch_card, card_batch, _merge_cards),
    "configs": Phase("resolvers", "config", fetch_config, config_batch, merge_configs),
    "tensors": Phase("resolvers", "tensor", fetch_headers, header_batch, merge_tensors),
    "files": Phase("api", "file", fetch_tree, tree_batch, merge_files),
    "commits": Phase("api", "revision", fetch_commits, commit_batch, merge_commits),
    "discussions": Phase("api", "discussion", fetch_discussions, discussion_batch, merge_discussions),
}


def fetch_phase(run: Run, hub: HubClient, lake: Lake, what: str, models: pl.DataFrame, progress: Progress) -> None:
    """Fetch one kind of thing for the models (model_id, sha, says_files), and commit it portion by portion.

    What was committed is not asked for again by a later run, so that this goes on where it was.
    """
    phase = PHASES[what]
    found = fetch_all(targets(lake, models), models.height, partial(phase.fetch, hub), progress, what)
    for portion in found:
        if answers := [answer for one in portion for answer in one.answers]:
            keep(run.folder, f"{what}-{_kept(run, what):06d}", answers)
        tables = phase.batch(portion).tables(run.crawl.hub, run.crawl.crawl_id, run.now())
        rows = tables.get(phase.table, NO_ROWS)
        setattr(run.crawl, what, getattr(run.crawl, what) + rows.height)
        answered = [one.target.model_id for one in portion if one.found is not None or not one.failures]
        run.add(
            partial(_merged, phase.merge, answered, tables),
            partial(note_fetched, fetched=_fetched(run, what, portion, set(rows["model_id"]))),
        )


def _merged(merge: Merge, asked: Sequence[str], tables: Tables, transaction: Transaction) -> None:
    merge(transaction, asked, tables)


def _kept(run: Run, what: str) -> int:
    """Count the files of answers that there are; none is written over."""
    return sum(1 for _ in run.folder.glob(f"{what}-*.parquet"))


def _fetched(run: Run, what: str, portion: Sequence[Fetched[Any]], stored: Collection[str]) -> pl.DataFrame:
    """Give the rows that say what was asked; without those that got no answer, to be asked for again."""
    now = run.now()
    rows = [
        (one.target.model_id, what, one.target.sha, _outcome(one, stored), now, run.crawl.crawl_id)
        for one in portion
        if not one.unreachable
    ]
    columns = {name: pl.String() for name in ("model_id", "what", "sha", "outcome", "fetched_at", "crawl_id")}
    return pl.DataFrame(rows, {**columns, "fetched_at": TIME}, orient="row")


def _outcome(one: Fetched[Any], stored: Collection[str]) -> str:
    return "failed" if one.failures else "stored" if one.target.model_id in stored else "absent"
