"""Records of a hub, objects as the Hugging Face Hub's model listing has them -> the tables' frames."""

import gc
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from itertools import islice
from typing import NamedTuple

import polars as pl

from miners.batch import COLUMNS, TIME, Batch
from miners.evaluations import evaluation_rows
from miners.fields import Fields, Json
from miners.licenses import spdx
from miners.listed_files import file_rows
from miners.metadata import is_repository, languages, lineage_rows, link_rows, tag_parts, tag_rows
from miners.pages import Page, Unreadable, records

HUB = "huggingface"
READ = [  # of a record; what else it has is kept in raw/
    *("_id", "sha", "location", "pipeline_tag", "library_name", "usedStorage", "downloads", "downloadsAllTime"),
    *("likes", "trendingScore", "gated", "private", "disabled", "createdAt", "lastModified", "tags", "spaces"),
    *("siblings", "cardData", "config", "gguf", "safetensors", "model-index"),
]
OBSERVED = [
    *("model_id", "crawl_id", "sha", "downloads", "downloads_all_time", "likes", "trending_score"),
    *("gated", "private", "disabled", "stored_bytes", "modified_at"),
]


def rows(pages: Sequence[Page], crawl_id: str, most: int | None = None) -> Batch:
    """Turn pages, JSON lists of records as `/api/models` gives them, into rows.

    A pure function of its arguments that never raises. A record without a usable id becomes a failure of the stage
    `listing`, named by the page's URL and its place in the page. A field of the wrong type becomes NULL and a failure
    of the stage `field` names it; the record is stored all the same. Of a model that is listed twice the last record
    is kept. `most` leaves out what the pages have beyond that many records. Several pages at once are quicker than
    one after the other.
    """
    listed = (
        Listed(f"{page.url}#{place}", page.fetched_at, record)
        for page in pages
        for place, record in enumerate(records(page.body))
    )
    return listed_rows(islice(listed, most), crawl_id)


class Listed(NamedTuple):
    """A record of a listing: the place that failures name, when it was seen, and what it says."""

    place: str
    seen_at: datetime
    record: object


def listed_rows(listed: Iterable[Listed], crawl_id: str) -> Batch:
    """Turn records into rows, as `rows` does."""
    batch = Batch()
    with nothing_to_collect():
        _add_listed(batch, listed, crawl_id)
    for model in batch.frames.get("model", []):
        batch.add("observation", model.select(*OBSERVED, observed_at="last_seen"))
        batch.add("revision", revisions(model, "listing"))
    return batch


def _add_listed(batch: Batch, listed: Iterable[Listed], crawl_id: str) -> None:
    named: dict[str, Json] = {}
    seen: dict[str, datetime] = {}
    for place, seen_at, record in listed:
        batch.seen += 1
        name = record_id(record)
        if name is None:
            batch.fail(place, "listing", _complaint(record))
        else:
            batch.stored += 1
            named[name] = record  # type: ignore[assignment]  # only an object has an id
            seen[name] = seen_at
    add_models(batch, named, HUB, crawl_id, moments(list(seen.values())))


def revisions(model: pl.DataFrame, source: str) -> pl.DataFrame:
    """Give the commits that models are at."""
    known = model.filter(pl.col("sha").is_not_null())
    return known.select("model_id", "sha", committed_at="modified_at", source=pl.lit(source))


@contextmanager
def nothing_to_collect() -> Iterator[None]:
    """Parse without the garbage collector, which would visit every object of the pages to find that all live.

    What the block has made should be gone when it ends, or the collector visits it then.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def record_id(record: object) -> str | None:
    """Give the `owner/name` of a record, under its key of today (id) or of 2022 (modelId); None if unusable."""
    if not isinstance(record, dict):
        return None
    for key in ("id", "modelId"):
        name = record.get(key)
        if isinstance(name, str) and is_repository(name):
            return name
    return None


def _complaint(record: object) -> str:
    if isinstance(record, Unreadable):
        return record.reason
    if not isinstance(record, dict):
        return f"the record is {str(record)[:80]!r}, expected an object"
    found = {key: record[key] for key in ("id", "modelId") if key in record}
    return (
        f"the record's id is {str(found)[:300]}, expected a repository owner/name" if found else "the record has no id"
    )


def add_models(batch: Batch, named: Mapping[str, Json], hub: str, crawl_id: str, seen: pl.Series) -> None:
    """Add the rows of records, given by their `owner/name`; `seen` is when each of them was seen.

    The frame of `model` has four columns more than its table, says_tags, says_card, says_spaces and says_files:
    whether the record speaks of those lists at all, or an older answer about them still holds.
    """
    if not named:
        return
    fields = Fields(list(named.values())).take(*READ)
    card = fields.inside("cardData")
    ids = pl.Series("model_id", [f"{hub}:{name}" for name in named])
    tags = tag_parts(fields.texts("tags"))
    parents = lineage_rows(tags, card, ids)
    models = _models(fields, card, tags).with_columns(
        ids, *_owners(named), seen.alias("last_seen"), hub=pl.lit(hub), crawl_id=pl.lit(crawl_id)
    )
    batch.add("model", models)
    add_owned(batch, "tag", ids, tag_rows(tags, languages(card)))
    add_owned(batch, "link", ids, link_rows(tags, card, fields.texts("spaces")))
    add_owned(batch, "file", ids, file_rows(fields))
    add_owned(batch, "evaluation", ids, evaluation_rows(fields))
    batch.add("lineage", parents)
    for row, complaints in fields.wrong.items():
        batch.fail(ids[row], "field", "; ".join(complaints))


def moments(times: Sequence[datetime]) -> pl.Series:
    """Turn times, of which many are the same, into a column."""
    places = {time: place for place, time in enumerate(dict.fromkeys(times))}
    return pl.Series(list(places), dtype=TIME).gather([places[time] for time in times])


def add_owned(batch: Batch, table: str, ids: pl.Series, owned: pl.DataFrame) -> None:
    """Add rows of a table that say by their column `row` which of the `ids` they belong to.

    A result that is published twice, equal in everything that is kept of it, is one row.
    """
    rows = owned.with_columns(model_id=pl.lit(ids).gather("row")).select(list(COLUMNS[table]))
    batch.add(table, rows.unique(maintain_order=True) if table == "evaluation" else rows)


def _models(fields: Fields, card: Fields, tags: pl.DataFrame) -> pl.DataFrame:
    config, gguf, safetensors = fields.inside("config"), fields.inside("gguf"), fields.inside("safetensors")
    license, license_spdx = licenses(len(fields.records), tags, card)
    return pl.DataFrame(
        {
            "hub_id": fields.text("_id"),
            "sha": _sha(fields),
            "location": fields.text("location"),
            "task": fields.text("pipeline_tag"),
            "library": fields.text("library_name"),
            "license": license,
            "license_spdx": license_spdx,
            "architecture": _architecture(config),
            "model_type": config.text("model_type").fill_null(gguf.text("architecture")),
            "parameters": safetensors.whole("total").fill_null(_summed(safetensors)).fill_null(gguf.whole("total")),
            "stored_bytes": fields.whole("usedStorage"),
            "files": pl.Series([_length(value) for value in fields.raw("siblings")], dtype=pl.Int64()),
            "downloads": fields.whole("downloads"),
            "downloads_all_time": fields.whole("downloadsAllTime"),
            "likes": fields.whole("likes"),
            "trending_score": fields.number("trendingScore"),
            "gated": _gated(fields),
            "private": fields.flag("private"),
            "disabled": fields.flag("disabled"),
            "created_at": fields.moment("createdAt"),
            "modified_at": fields.moment("lastModified"),
            "says_tags": _says(fields, "tags"),
            "says_card": _says(fields, "cardData") | _says(fields, "model-index"),
            "says_spaces": _says(fields, "spaces"),
            "says_files": _says(fields, "siblings"),
        }
    )


def _owners(names: Iterable[str]) -> list[pl.Series]:
    parts = [name.rpartition("/") for name in names]
    owners = pl.Series("owner", [owner or None for owner, _, _ in parts], pl.String())
    return [owners, pl.Series("name", [name for _, _, name in parts], pl.String())]


def _says(fields: Fields, name: str) -> pl.Series:
    if name not in fields.names:
        return pl.repeat(False, len(fields.records), dtype=pl.Boolean(), eager=True)
    return pl.Series([value is not None for value in fields.raw(name)], dtype=pl.Boolean())


def _length(value: object) -> int | None:
    return len(value) if isinstance(value, list) else None


def licenses(count: int, tags: pl.DataFrame, card: Fields) -> tuple[pl.Series, pl.Series]:
    """Give each record's licences, as stated and in SPDX: those of its tags, which the Hub has checked, or of its card.

    Both columns are NULL where none is stated, the second also where one of them has no identifier.
    """
    tagged: list[list[str]] = [[] for _ in range(count)]
    carded: list[list[str]] = [[] for _ in range(count)]
    for row, license in tags.filter(kind="license").select("row", "tag").iter_rows():
        tagged[row].append(license)
    for row, license in card.texts("license").iter_rows():
        carded[row].append(license)
    stated = [first or second for first, second in zip(tagged, carded, strict=True)]
    texts = pl.Series("license", [", ".join(names) or None for names in stated], pl.String())
    return texts, pl.Series("license_spdx", [spdx(names) for names in stated], pl.String())


def _architecture(config: Fields) -> pl.Series:
    """Give the class that each configuration names: its first architecture, or its diffusers pipeline."""
    named = config.texts("architectures").unique("row", keep="first", maintain_order=True)
    first = pl.repeat(None, len(config.records), dtype=pl.String(), eager=True).scatter(named["row"], named["text"])
    return first.fill_null(config.inside("diffusers").text("_class_name"))


def _summed(safetensors: Fields) -> pl.Series:
    counts = safetensors.inside("parameters")
    if not counts.names:
        return counts.whole("sum")
    sums = [sum(c for c in record.values() if type(c) is int) or None for record in counts.records]
    return Fields([{"sum": value} for value in sums], counts.wrong, counts.place).whole("sum")


def _sha(fields: Fields) -> pl.Series:
    """Give the commits; they become parts of addresses, so that nothing else may pass for one."""
    stated = fields.text("sha")
    fits = stated.str.contains(r"\A[0-9a-f]{40}\z")
    for row in (~fits).arg_true():
        fields.refuse(row, "sha", "40 hexadecimal digits", stated[row])
    return stated.set(~fits, None)


def _gated(fields: Fields) -> pl.Series:
    gated = ["no" if value is False else value for value in fields.raw("gated")]
    stated = Fields([{"gated": value} for value in gated], fields.wrong).text("gated")
    for row in (stated.is_not_null() & ~stated.is_in(["no", "auto", "manual"])).arg_true():
        fields.refuse(row, "gated", "false, auto or manual", stated[row])
    return stated.set(~stated.is_in(["no", "auto", "manual"]), None)
