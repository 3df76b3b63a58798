"""Puts what a group came to into the lake: one transaction a group, and the same rows however often it is done."""

import json
from collections.abc import Iterator
from typing import Any

import polars as pl

from schemas import Transaction
from zoo.group import Group
from zoo.results import Failure, GroupResult, PopulationFile

TASKS = {"gpt2": "text-generation", "pinn": "differential-equation"}
IMAGES = "image-classification"
LIBRARY = "weightlake"
COMPLETED = """
UPDATE population SET state = 'complete' WHERE population_id = $population_id
AND members = (SELECT count(*) FROM member WHERE population_id = $population_id AND state <> 'failed')
"""
FATE = {"state": pl.String, "diverged_epoch": pl.Int32, "failed_epoch": pl.Int32, "reason": pl.String}
FATE |= {"backend": pl.String, "backend_reason": pl.String}


def register_population(transaction: Transaction, population: PopulationFile) -> None:
    """Add the population's row if it is not there."""
    known = "SELECT 1 FROM population WHERE population_id = $population_id"
    if transaction.sql(known, population_id=population.population_id).is_empty():
        fields = population.model_dump(exclude={"recipe"})
        recipe = population.model_dump_json(include={"recipe"}).removeprefix('{"recipe":').removesuffix("}")
        transaction.append("population", pl.DataFrame([{**fields, "recipe": recipe, "state": "building"}]))


def register_group(transaction: Transaction, population: PopulationFile, result: GroupResult) -> None:
    """Write the rows of a group's members, in place of those that may be there.

    The population is complete once all its members are in.
    """
    register_population(transaction, population)
    group, count = result.group, len(result.group.members)
    reasons = result.diverged_reasons or [None] * count
    fates = [
        {"state": "trained"} if epoch is None else {"state": "diverged", "diverged_epoch": epoch, "reason": reason}
        for epoch, reason in zip(result.diverged_epochs, reasons, strict=True)
    ]
    backend = {"backend": result.backend, "backend_reason": result.backend_reason}
    _write_members(transaction, population, group, result.parameters, [fate | backend for fate in fates])
    transaction.replace("training", _training(population, result), key="model_id")
    transaction.replace("checkpoint", pl.DataFrame(_checkpoints(population, result)), key="model_id")
    transaction.replace("lineage", pl.DataFrame(_lineage(population, result)), key="child_id")
    _write_sittings(transaction, population, result)
    transaction.sql(COMPLETED, population_id=population.population_id)


def register_failure(transaction: Transaction, population: PopulationFile, failure: Failure) -> None:
    """Write the rows of the members of a group that could not be trained: they have no weights and no curves."""
    register_population(transaction, population)
    module = failure.group.skeleton(population.input_shape, population.classes)
    parameters = sum(parameter.numel() for parameter in module.parameters())
    fate = {"state": "failed", "failed_epoch": failure.epoch, "reason": failure.reason}
    _write_members(transaction, population, failure.group, parameters, [fate] * len(failure.group.members))


def model_id(population_id: str, member: str) -> str:
    """The lake's name of a trained model."""
    return f"zoo:{population_id}/{member}"


def _identities(population: PopulationFile, group: Group) -> list[str]:
    return [model_id(population.population_id, member.name) for member in group.members]


def _write_members(
    transaction: Transaction, population: PopulationFile, group: Group, parameters: int, fates: list[dict[str, Any]]
) -> None:
    """Write the rows of a group's models and members; `fates` say what became of each."""
    members = pl.DataFrame(_members(population, group), infer_schema_length=None)
    fate = pl.DataFrame([dict.fromkeys(FATE) | fate for fate in fates], schema=FATE)
    transaction.replace("model", pl.DataFrame(_models(population, group, parameters)), key="model_id")
    transaction.replace("member", pl.concat([members, fate], how="horizontal"), key="model_id")


def _models(population: PopulationFile, group: Group, parameters: int) -> Iterator[dict[str, Any]]:
    for identity, member in zip(_identities(population, group), group.members, strict=True):
        yield {
            "model_id": identity,
            "hub": "zoo",
            "owner": population.population_id,
            "name": member.name,
            "architecture": population.architecture,
            "parameters": parameters,
            "task": TASKS.get(population.architecture, IMAGES),
            "library": LIBRARY,
            **dict.fromkeys(["created_at", "first_seen", "last_seen"], population.created_at),
        }


def _members(population: PopulationFile, group: Group) -> Iterator[dict[str, Any]]:
    for identity, member in zip(_identities(population, group), group.members, strict=True):
        yield {
            "model_id": identity,
            "population_id": population.population_id,
            "group_name": group.name,
            "width": group.width,
            "batch_size": group.batch_size,
            "seed": member.seed,
            "init_seed": member.init_seed,
            "learning_rate": member.learning_rate,
            "weight_decay": member.weight_decay,
            "label_noise": member.label_noise,
            "epochs": group.epochs,
            "depth": group.depth,
            "activation": group.activation,
            "dropout": group.dropout,
            "initialisation": member.initialisation,
            "optimizer": group.optimizer,
            "schedule": group.schedule,
            "data_fraction": group.data_fraction,
            "convection": member.convection,
        }


def _write_sittings(transaction: Transaction, population: PopulationFile, result: GroupResult) -> None:
    """Write what a group was trained on, in place of what may be there."""
    where = {"population_id": population.population_id, "group_name": result.group.name}
    transaction.sql(
        "DELETE FROM sitting WHERE population_id = $population_id AND group_name = $group_name",
        **where,
    )
    rows = [
        {**where, "number": number, **sitting.model_dump(), "flags": json.dumps(sitting.flags)}
        for number, sitting in enumerate(result.sittings)
    ]
    transaction.append("sitting", pl.DataFrame(rows))


def _training(population: PopulationFile, result: GroupResult) -> pl.DataFrame:
    """One row a member, epoch, split and metric that was measured."""
    epochs = list(range(1, result.group.epochs + 1))
    frames = [
        pl.DataFrame({"value": values}, schema={"value": pl.Float64}).with_columns(
            pl.Series("epoch", epochs), model_id=pl.lit(identity), split=pl.lit(split), metric=pl.lit(metric)
        )
        for split, metrics in result.curves.items()
        for metric, curves in metrics.items()
        for identity, values in zip(_identities(population, result.group), curves, strict=True)
    ]
    return pl.concat(frames).drop_nulls("value")


def _checkpoints(population: PopulationFile, result: GroupResult) -> Iterator[dict[str, Any]]:
    for epoch, shard in result.checkpoints.items():
        for row, identity in enumerate(_identities(population, result.group)):
            yield {
                "model_id": identity,
                "epoch": epoch,
                "final": epoch == result.group.epochs,
                "shard": shard.path,
                "row": row,
                "shard_sha256": shard.sha256,
            }


def _lineage(population: PopulationFile, result: GroupResult) -> Iterator[dict[str, Any]]:
    members = zip(_identities(population, result.group), result.group.members, result.initialisations, strict=True)
    for identity, member, initialisation in members:
        yield _from(identity, f"init:{initialisation}", "initialised-from")
        if member.parent is not None:
            yield _from(identity, member.parent, "finetune")


def _from(child: str, parent: str, relation: str) -> dict[str, Any]:
    return {"child_id": child, "parent_id": parent, "relation": relation, "source": "recipe", "confidence": 1.0}
