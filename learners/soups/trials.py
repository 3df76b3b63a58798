"""Keeps what a search for ingredients has tried as rows of the lake, so that it can be looked at and gone on with."""

import json
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from types import TracebackType
from typing import Any, Self

import polars as pl

from learners.soups.greedy import Trial
from schemas import Lake

SECONDS = 2.0
"""So often trials are written down while a search goes on."""
DIGITS = 16

KNOWN = "SELECT candidate, any_value(score) FROM trial WHERE model_id IN (SELECT unnest($ids)) GROUP BY candidate"
WRITTEN = "SELECT number FROM trial WHERE search_id = $search_id"


class Ledger:
    """The trials of one search; a context manager that writes down what is left when the search ends, however it ends.

    Args:
        lake: Where they are kept.
        rows: The models, in the order of their indices, with `model_id` and if it matters `epoch`.
        contents: A hash of each one's weights: a model may get other weights and keep its name.
        data: Hash of what candidates are scored on.
        options: Everything else that the search depends on.
    """

    def __init__(
        self, lake: Lake, rows: pl.DataFrame, contents: Sequence[str], data: str, options: Mapping[str, Any]
    ) -> None:
        ids: list[str] = rows["model_id"].to_list()
        epochs = rows["epoch"].to_list() if "epoch" in rows.columns else [None] * len(ids)
        self.lake, self.data = lake, data
        self.models: list[tuple[str, int | None]] = list(zip(ids, epochs, strict=True))
        self.contents = contents
        self.search_id = self._hash([sorted(zip(self.models, contents, strict=True), key=str), dict(options)])
        self.scores: dict[str, float] = dict(lake.sql(KNOWN, ids=ids).iter_rows())
        self.written: set[int] = set(lake.sql(WRITTEN, search_id=self.search_id)["number"].to_list())
        self.trials: list[Trial] = []
        self.waiting: list[dict[str, Any]] = []
        self.last = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._write()

    def known(self, members: tuple[int, ...]) -> float | None:
        """Score of the average of these models, if some search has found it."""
        return self.scores.get(self._candidate(members))

    def note(self, trial: Trial) -> None:
        """Take down a trial, and write to the lake now and then."""
        number = len(self.trials)
        self.trials.append(trial)
        if number in self.written:
            return
        model_id, epoch = self.models[trial.member]
        self.waiting.append(
            {
                "search_id": self.search_id,
                "number": number,
                "restart": trial.restart,
                "pass": trial.turn,
                "action": trial.action,
                "model_id": model_id,
                "epoch": epoch,
                "candidate": self._candidate(trial.candidate),
                "members": len(trial.candidate),
                "score": trial.score,
                "kept": trial.kept,
                "tried_at": datetime.now(UTC),
            }
        )
        if time.monotonic() - self.last > SECONDS:
            self._write()

    def _write(self) -> None:
        self.last = time.monotonic()
        if self.waiting:
            frame = pl.DataFrame(self.waiting, infer_schema_length=None)
            with self.lake.write() as transaction:
                transaction.append("trial", frame)
            self.waiting.clear()

    def _candidate(self, members: tuple[int, ...]) -> str:
        return self._hash(sorted(self.contents[member] for member in members))

    def _hash(self, what: object) -> str:
        return sha256(json.dumps([what, self.data]).encode()).hexdigest()[:DIGITS]
