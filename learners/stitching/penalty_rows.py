"""Penalties as rows of the lake, there and back."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import isfinite

import polars as pl

from learners.stitching.penalty import Penalty
from learners.stitching.penalty_settings import PenaltySettings
from learners.stitching.selected import Selected
from schemas import Lake

NOT_FINITE = "outputs of the stitched network are not finite"
METRICS = ("stitch_penalty", "stitch_loss_penalty", "stitched_error")
KEY = ("first_id", "second_id", "metric", "split", "settings", "seed", "samples")
FOUND = """
SELECT * FROM stitch_penalties
WHERE front_id IN (SELECT unnest($ids)) AND end_id IN (SELECT unnest($ids))
AND split = $split AND seed = $seed AND samples = $samples AND penalty IS NOT NULL
"""
APPEND = f"INSERT INTO pair_measurement BY NAME FROM new_penalties ANTI JOIN pair_measurement USING ({', '.join(KEY)})"


@dataclass(frozen=True)
class Joined:
    """Which joint it is: front and end by their numbers, their cuts, and the kind of joint."""

    front: int
    end: int
    front_cut: int
    end_cut: int
    joint: str


@dataclass(frozen=True)
class Rows:
    """Translates between joints of a selection and rows; `samples` is the number of held-out samples."""

    selected: Selected
    settings: PenaltySettings
    samples: int

    def settings_of(self, joined: Joined) -> str:
        """Everything that a penalty hangs on beside its models, split, samples and seed, as canonical JSON.

        A hash of the weights is in it, so that a model whose files were replaced is measured again.
        """
        cut = self.selected.networks[joined.end].chain.names[joined.end_cut]
        fields = {"front_cut": joined.front_cut, "end_cut": joined.end_cut, "end_cut_name": cut}
        epochs = {"front_epoch": self.selected.epochs[joined.front], "end_epoch": self.selected.epochs[joined.end]}
        named: dict[str, object] = {name: epoch for name, epoch in epochs.items() if epoch is not None}
        contents = self.selected.contents
        named |= {"front_weights": contents[joined.front], "end_weights": contents[joined.end]}
        named |= {"given": self.selected.given} if self.selected.given is not None else {}
        return json.dumps(fields | named | dict(self.settings.identity(joined.joint)), sort_keys=True)

    def read(self, lake: Lake, wanted: Iterable[Joined]) -> pl.DataFrame:
        """What is known of these joints: rows of `stitch_penalties`, in their order, with the number of each."""
        ids = list(dict.fromkeys(self.selected.ids))
        found = lake.sql(
            FOUND, ids=ids, split=self.settings.held_out, seed=self.settings.seed, samples=self.samples
        ).with_columns(pl.col("settings").cast(pl.String))
        return self._keys(wanted).join(found, on=["front_id", "end_id", "settings"], how="inner", maintain_order="left")

    def _keys(self, wanted: Iterable[Joined]) -> pl.DataFrame:
        ids = self.selected.ids
        keys = [(number, ids[j.front], ids[j.end], self.settings_of(j)) for number, j in enumerate(wanted)]
        schema = {"number": pl.Int64, "front_id": pl.String, "end_id": pl.String, "settings": pl.String}
        return pl.DataFrame(keys, schema=schema, orient="row")

    def write(self, lake: Lake, found: Sequence[tuple[str, Penalty]]) -> None:
        """Add penalties, each with its kind of joint; those that are there already stay as they are."""
        if not found:
            return
        rows = [row for joint, penalty in found for row in self._rows(joint, penalty)]
        frame = pl.DataFrame(rows, schema_overrides={"reason": pl.String})
        with lake.write() as transaction:
            transaction.register("new_penalties", frame)
            transaction.sql(APPEND)

    def _rows(self, joint: str, found: Penalty) -> Iterable[dict[str, object]]:
        joined = Joined(found.front, found.end, found.front_cut, found.end_cut, joint)
        shared = {
            "first_id": self.selected.ids[found.front],
            "second_id": self.selected.ids[found.end],
            "split": self.settings.held_out,
            "samples": found.samples,
            "settings": self.settings_of(joined),
            "seed": self.settings.seed,
            "measured_at": datetime.now(UTC),
        }
        values = (found.penalty, found.loss_penalty, found.error)
        errors = (found.standard_error, found.loss_standard_error, None)
        for metric, value, error in zip(METRICS, values, errors, strict=True):
            if isfinite(value):
                yield shared | {"metric": metric, "value": value, "standard_error": error, "reason": None}
            else:
                yield shared | {"metric": metric, "value": None, "standard_error": None, "reason": NOT_FINITE}
