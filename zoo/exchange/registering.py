"""Puts an imported zoo into the lake: the rows that a population trained here has, and all else that it says."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from hashlib import sha256
from typing import Any

import polars as pl

from schemas import Transaction
from zoo.architectures import ARCHITECTURES
from zoo.environment import software
from zoo.exchange.companion import KEYS, MEMBER, Companion
from zoo.exchange.fields import IMPORTED, OWN, TEXT, WHOLE, as_statement, encodable
from zoo.exchange.foreign import About, ForeignMember, ForeignZoo, Unreadable
from zoo.exchange.stacking import Stacks
from zoo.register import IMAGES, LIBRARY, TASKS, model_id

STAGE = "import"
SOURCE = "import"
KINDS = {name: pl.Int64 if name in WHOLE else pl.String if name in TEXT else pl.Float64 for name in OWN}


@dataclass(frozen=True)
class Import:
    """An imported zoo on its way into the lake; lists go by its members."""

    folder: str
    name: str
    zoo: ForeignZoo
    names: list[str]
    about: About
    companion: Companion | None
    stacks: Stacks
    failures: list[Unreadable]
    now: datetime

    @property
    def recipe(self) -> dict[str, Any]:
        """What stands in place of a recipe: where the population is from, and what is said of the whole."""
        original = self.companion.population.recipe if self.companion is not None else None
        said = {"format": self.zoo.format, "folder": encodable(self.folder), **self.zoo.notes}
        if self.about.architecture not in ARCHITECTURES and self.about.unlike:
            said["unlike"] = encodable(self.about.unlike)
        return {"imported": said} | ({"original": original} if original else {})

    @cached_property
    def sha256(self) -> str:
        """SHA-256 over all that was read: equal for the same zoo."""
        placed = [[self.names[p.member], p.epoch, p.shard, p.row, p.sha256] for p in self.stacks.placed]
        said = [[member.columns, member.statements, member.curve, member.measured] for member in self.zoo.members]
        content = [self.recipe, self.about.dataset, self.about.architecture, self.names, said, placed]
        return sha256(json.dumps(content, sort_keys=True, separators=(",", ":"), default=str).encode()).hexdigest()


def register(transaction: Transaction, imported: Import, population_id: str) -> None:
    """Write the rows of an imported zoo, in place of those of an earlier import of the same."""
    ids = [model_id(population_id, name) for name in imported.names]
    transaction.replace("population", pl.DataFrame([_population(imported, population_id)]), key="population_id")
    transaction.replace("model", _models(imported, population_id, ids), key="model_id")
    transaction.replace("checkpoint", _checkpoints(imported, ids), key="model_id")
    beside = {"member": _members(imported), "training": _training(imported), "statement": _statements(imported)}
    beside |= {"measurement": _measurements(imported), "lineage": _lineage(imported)}
    for table, frame in beside.items():
        key = KEYS.get(table, "model_id")
        rows = _with_companion(imported, table, frame).with_columns(
            pl.col(MEMBER).replace_strict(imported.names, ids, return_dtype=pl.String).alias(key)
        )
        owned = {"population_id": pl.lit(population_id)} if table == "member" else {}
        _clear(transaction, table, key, ids)
        transaction.append(table, rows.drop(MEMBER).with_columns(**owned))
    _write_failures(transaction, imported, ids)


def _clear(transaction: Transaction, table: str, key: str, ids: Sequence[str]) -> None:
    transaction.sql(f"DELETE FROM {table} WHERE {key} IN (SELECT unnest($ids))", ids=list(ids))  # noqa: S608 - our names


def _with_companion(imported: Import, table: str, read: pl.DataFrame) -> pl.DataFrame:
    """The rows that stand beside the zoo; those that were read for members of which nothing stands there."""
    if imported.companion is None:
        return read
    there = imported.companion.tables["member"].get_column(MEMBER)
    ours = imported.companion.tables[table].filter(pl.col(MEMBER).is_in(imported.names))
    ours = ours.with_columns(group_name=_group_names(imported, ours)) if table == "member" else ours
    return pl.concat([ours, read.filter(~pl.col(MEMBER).is_in(there.implode()))], how="diagonal_relaxed")


def _group_names(imported: Import, rows: pl.DataFrame) -> pl.Series:
    numbers = {name: number for number, name in enumerate(imported.names)}
    groups = [imported.stacks.group_of.get(numbers[name]) for name in rows[MEMBER]]
    return pl.Series("group_name", groups, dtype=pl.String)


def _population(imported: Import, population_id: str) -> dict[str, Any]:
    about = imported.about
    return {
        "population_id": population_id,
        "name": imported.name,
        "recipe": json.dumps(imported.recipe),
        "recipe_sha256": imported.sha256,
        "architecture": about.architecture,
        "dataset": about.dataset,
        "dataset_sha256": about.dataset_sha256,
        "classes": about.classes,
        "input_shape": list(about.input_shape) if about.input_shape else None,
        "split_seed": about.split_seed,
        "members": len(imported.names),
        "state": "complete",
        "software": software(),
        "created_at": imported.now,
    }


def _models(imported: Import, population_id: str, ids: Sequence[str]) -> pl.DataFrame:
    about, parameters = imported.about, imported.stacks.parameters
    ours = about.architecture in ARCHITECTURES
    return pl.DataFrame(
        {
            "model_id": ids,
            "hub": "zoo",
            "owner": population_id,
            "name": imported.names,
            "architecture": pl.Series([about.architecture] * len(ids), dtype=pl.String),
            "parameters": pl.Series([parameters.get(number) for number in range(len(ids))], dtype=pl.Int64),
            "task": pl.Series(
                [TASKS.get(str(about.architecture), IMAGES) if ours else None] * len(ids), dtype=pl.String
            ),
            "library": LIBRARY,
            **dict.fromkeys(["created_at", "first_seen", "last_seen"], imported.now),
        }
    )


def _checkpoints(imported: Import, ids: Sequence[str]) -> pl.DataFrame:
    placed = imported.stacks.placed
    last: dict[int, int] = {}
    for each in placed:
        last[each.member] = max(each.epoch, last.get(each.member, 0))
    owner = model_owner(ids)
    rows = [(ids[p.member], p.epoch, p.epoch == last[p.member], f"{owner}/{p.shard}", p.row, p.sha256) for p in placed]
    return pl.DataFrame(rows, schema=["model_id", "epoch", "final", "shard", "row", "shard_sha256"], orient="row")


def model_owner(ids: Sequence[str]) -> str:
    """The population that models are of: the folder of their shards."""
    return ids[0].removeprefix("zoo:").partition("/")[0]


def _members(imported: Import) -> pl.DataFrame:
    reasons: dict[int, str] = {}
    for failure in imported.failures:
        reasons.setdefault(failure.member, failure.reason)
    rows = [
        {
            MEMBER: name,
            **{column: member.columns.get(column) for column in KINDS},
            "group_name": imported.stacks.group_of.get(number),
            **_fate(imported, number, member, reasons.get(number)),
        }
        for number, (name, member) in enumerate(zip(imported.names, imported.zoo.members, strict=True))
    ]
    fates = {"state": pl.String, "diverged_epoch": pl.Int64, "reason": pl.String}
    return pl.DataFrame(rows, schema={MEMBER: pl.String, **KINDS, "group_name": pl.String, **fates})


def _fate(imported: Import, number: int, member: ForeignMember, reason: str | None) -> dict[str, Any]:
    """What became of a member; one without weights has failed, whatever the reason."""
    if number not in imported.stacks.group_of:
        return {"state": "failed", "diverged_epoch": None, "reason": encodable(reason or "it has no checkpoint")}
    found = [member.diverged] if member.diverged else []
    if number in imported.stacks.not_finite:
        found.append((imported.stacks.not_finite[number], "its weights are not finite"))
    if found:
        epoch, what = min(found)
        return {"state": "diverged", "diverged_epoch": epoch, "reason": encodable(what)}
    return {"state": "trained", "diverged_epoch": None, "reason": None}


def _training(imported: Import) -> pl.DataFrame:
    rows = [(name, *point) for name, member in _each(imported) for point in member.curve]
    kinds = {"epoch": pl.Int64, "split": pl.String, "metric": pl.String, "value": pl.Float64}
    frame = pl.DataFrame(rows, schema={MEMBER: pl.String, **kinds}, orient="row")
    return frame.unique([MEMBER, "epoch", "split", "metric"], keep="last", maintain_order=True)


def _statements(imported: Import) -> pl.DataFrame:
    rows = [
        (name, encodable(key), *as_statement(value), source)
        for name, member in _each(imported)
        for source, said in member.statements.items()
        for key, value in said.items()
    ]
    kinds = {"name": pl.String, "value": pl.String, "number": pl.Float64, "source": pl.String}
    return pl.DataFrame(rows, schema={MEMBER: pl.String, **kinds}, orient="row")


def _measurements(imported: Import) -> pl.DataFrame:
    """Numbers that the zoo publishes; their settings say that nothing here has measured them."""
    rows = [
        (name, epoch, encodable(metric), value, IMPORTED, imported.now)
        for name, member in _each(imported)
        for epoch, metric, value in member.measured
    ]
    kinds: Mapping[str, Any] = {"epoch": pl.Int64, "metric": pl.String, "value": pl.Float64, "settings": pl.String}
    return pl.DataFrame(
        rows, schema={MEMBER: pl.String, **kinds, "measured_at": pl.Datetime("us", "UTC")}, orient="row"
    )


def _lineage(imported: Import) -> pl.DataFrame:
    """What members start from, where the zoo has their weights before any training and after some."""
    later = {placed.member for placed in imported.stacks.placed if placed.epoch > 0}
    rows = [
        (imported.names[member], f"init:{start}", "initialised-from", SOURCE, 1.0)
        for member, start in sorted(imported.stacks.starts.items())
        if member in later
    ]
    kinds = {"parent_id": pl.String, "relation": pl.String, "source": pl.String, "confidence": pl.Float64}
    return pl.DataFrame(rows, schema={MEMBER: pl.String, **kinds}, orient="row")


def _write_failures(transaction: Transaction, imported: Import, ids: Sequence[str]) -> None:
    rows = [
        (ids[failure.member], f"checkpoint of epoch {failure.epoch}: {failure.reason}") for failure in imported.failures
    ]
    rows += [
        (identity, problem)
        for identity, member in zip(ids, imported.zoo.members, strict=True)
        for problem in member.problems
    ]
    transaction.sql(
        "DELETE FROM failure WHERE stage = $stage AND subject IN (SELECT unnest($ids))", stage=STAGE, ids=list(ids)
    )
    rows = [(subject, encodable(reason)) for subject, reason in rows]
    found = pl.DataFrame(rows, schema={"subject": pl.String, "reason": pl.String}, orient="row")
    known = {"hub": pl.lit("zoo"), "stage": pl.lit(STAGE), "happened_at": pl.lit(imported.now)}
    transaction.append("failure", found.with_columns(**known))


def _each(imported: Import) -> Iterator[tuple[str, ForeignMember]]:
    yield from zip(imported.names, imported.zoo.members, strict=True)
