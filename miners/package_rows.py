"""Packages of a catalogue -> the tables' frames."""

from collections.abc import Iterable, Sequence
from datetime import datetime

import polars as pl

from miners.batch import COLUMNS, TIME, Batch
from miners.cards import Card, read_card
from miners.cards.rows import ReadCard, add_cards
from miners.fields import LARGEST
from miners.licenses import spdx
from miners.listed_files import FormatByPath
from miners.metadata import is_repository
from miners.package import Package, Score, Statement
from miners.records import OBSERVED, revisions

TEXT, WHOLE, NUMBER, FLAG = pl.String(), pl.Int64(), pl.Float64(), pl.Boolean()
LONGEST_NAME = 256
MOST_PARTS = 4  # of a name: owner, model, framework and variation on Kaggle
MODEL: dict[str, pl.DataType] = {
    **dict.fromkeys(["model_id", "owner", "name", "hub_id", "sha", "location", "task", "library", "license"], TEXT),
    **dict.fromkeys(["license_spdx", "architecture", "model_type"], TEXT),
    **dict.fromkeys(
        ["parameters", "parameters_rounded_to", "stored_bytes", "files", "downloads", "downloads_all_time", "likes"],
        WHOLE,
    ),
    "trending_score": NUMBER,
    "gated": TEXT,
    **dict.fromkeys(["private", "disabled"], FLAG),
    **dict.fromkeys(["created_at", "modified_at"], TIME),
    **dict.fromkeys(["says_tags", "says_card", "says_spaces", "says_files"], FLAG),
}
OWNED: dict[str, dict[str, pl.DataType]] = {
    **{table: COLUMNS[table] for table in ("tag", "link", "file")},
    "evaluation": {"model_id": TEXT, **dict.fromkeys(Score._fields, TEXT), "value": NUMBER},
    "statement": {"model_id": TEXT, **dict.fromkeys(Statement._fields, TEXT), "number": NUMBER},
    "lineage": {**dict.fromkeys(["child_id", "parent_id", "relation", "source"], TEXT), "confidence": NUMBER},
}


def add_packages(
    batch: Batch, packages: Sequence[Package], hub: str, crawl_id: str, at: datetime, sha: str | None
) -> None:
    """Add the rows of packages, which were seen at the commit `sha` of the hub's repository if it has one.

    A package without a usable name, or with that of one before it, becomes a failure of the stage `listing`, one for
    each of its records; a problem of one that is stored becomes a failure of the stage `field`.
    """
    kept = _with_names_of_their_own(batch, packages)
    if not kept:
        return
    ids = {name: f"{hub}:{name}" for name in kept}
    models = [_model(ids[name], package, sha) for name, package in kept.items()]
    model = _frame(MODEL, models).with_columns(
        pl.lit(at, dtype=TIME).alias("last_seen"), hub=pl.lit(hub), crawl_id=pl.lit(crawl_id)
    )
    batch.add("model", model)
    batch.add("observation", model.select(*OBSERVED, observed_at="last_seen"))
    batch.add("revision", revisions(model, "listing"))
    for table, schema in OWNED.items():
        rows = [(ids[name], *row) for name, package in kept.items() for row in _owned(table, package)]
        batch.add(table, _frame(schema, rows))
    _add_pages(batch, {ids[name]: package for name, package in kept.items()}, sha, at)
    for name, package in kept.items():
        for problem in package.problems:
            batch.fail(ids[name], "field", problem)


def _with_names_of_their_own(batch: Batch, packages: Sequence[Package]) -> dict[str, Package]:
    kept: dict[str, Package] = {}
    for package in packages:
        batch.seen += package.records
        reason = _complaint(package.name) or ("another record has this name" if package.name in kept else None)
        if reason is None:
            kept[package.name] = package
            batch.stored += package.records
        else:
            for _ in range(package.records):
                batch.fail(package.name[:LONGEST_NAME], "listing", reason)
    return kept


def _complaint(name: str) -> str | None:
    parts = name.split("/")
    if len(name) <= LONGEST_NAME and len(parts) <= MOST_PARTS and all(part and is_repository(part) for part in parts):
        return None
    return f"{name[:LONGEST_NAME]!r} cannot be a model's name"


def _frame(schema: dict[str, pl.DataType], rows: Sequence[Sequence[object]]) -> pl.DataFrame:
    columns = list(zip(*rows, strict=True)) or [()] * len(schema)
    typed = zip(schema.items(), columns, strict=True)
    return pl.DataFrame([pl.Series(name, map(_storable, column), dtype) for (name, dtype), column in typed])


def _storable(value: object) -> object:
    """Give a text without NULs and halves of surrogate pairs, which no table takes; other values as they are."""
    if not isinstance(value, str) or (value.isascii() and "\0" not in value):
        return value
    return value.replace("\0", "\ufffd").encode("utf-8", "replace").decode()


def _model(model_id: str, package: Package, sha: str | None) -> tuple[object, ...]:
    owner, _, name = package.name.rpartition("/")
    sizes = [file.size for file in package.files]
    known = [size for size in sizes if size is not None]
    all_known = sizes and len(known) == len(sizes) and sum(known) <= LARGEST
    row: dict[str, object] = dict.fromkeys(MODEL) | {
        "model_id": model_id,
        "owner": owner or None,
        "name": name,
        "hub_id": package.hub_id,
        "sha": sha,
        "task": package.task,
        "library": package.library,
        "license": ", ".join(package.licenses) or None,
        "license_spdx": spdx(package.licenses),
        "architecture": package.architecture,
        "parameters": package.parameters,
        "parameters_rounded_to": package.parameters_rounded_to,
        "stored_bytes": sum(known) if all_known else package.stored_bytes,
        "files": len(sizes) or None,
        "downloads_all_time": package.downloads_all_time,
        "likes": package.likes,
        "gated": package.gated,
        "private": package.private,
        "created_at": package.created_at,
        "modified_at": package.modified_at,
        "says_tags": True,
        "says_card": True,
        "says_spaces": True,
        "says_files": True,
    }
    return tuple(row.values())


def _owned(table: str, package: Package) -> Iterable[Sequence[object]]:
    if table == "tag":
        return dict.fromkeys(package.tags)
    if table == "link":
        return [(kind, target, source) for (kind, target), source in _links(package).items()]
    if table == "file":
        formats = FormatByPath()
        files = {file.path: file for file in package.files}.values()
        return [(file.path, formats[file.path], file.size, file.sha256, None) for file in files]
    if table == "lineage":
        return [(parent, relation, "listing", 1.0) for parent, relation in dict.fromkeys(package.parents)]
    return dict.fromkeys(package.scores if table == "evaluation" else package.statements)


def _links(package: Package) -> dict[tuple[str, str], str]:
    links: dict[tuple[str, str], str] = {}
    for kind, target, source in package.links:
        links.setdefault((kind, target), source)
    return links


def _add_pages(batch: Batch, packages: dict[str, Package], sha: str | None, at: datetime) -> None:
    """Add the cards; one page may be that of many models, and is read once."""
    read: dict[str, Card] = {}
    cards = []
    for model_id, package in packages.items():
        if package.card:
            path, body = package.card
            if path not in read:
                read[path] = read_card(body)
            cards.append(ReadCard(model_id, sha, read[path], len(body), at))
    add_cards(batch, cards)
