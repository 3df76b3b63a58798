"""What the metadata of fetched cards says about their models -> the tables' frames."""

from collections.abc import Sequence

import polars as pl

from miners.batch import Batch
from miners.evaluations import evaluation_rows
from miners.fields import Fields, Json
from miners.metadata import languages, lineage_rows, link_rows, tag_parts, tag_rows
from miners.records import add_owned, licenses, nothing_to_collect


def add_card_statements(batch: Batch, ids: pl.Series, metadata: Sequence[Json]) -> None:
    """Add what the metadata of cards names, `ids` being their models.

    These are languages (rows of `tag`), links, parents and published results, and a frame `stated` with licence,
    task and library of each model, NULL where its card says nothing.
    """
    with nothing_to_collect():
        _add(batch, ids, Fields(metadata))


def _add(batch: Batch, ids: pl.Series, card: Fields) -> None:
    none = pl.DataFrame(schema={"row": pl.UInt32(), "text": pl.String()})
    no_tags = tag_parts(none)
    add_owned(batch, "tag", ids, tag_rows(no_tags, languages(card)))
    add_owned(batch, "link", ids, link_rows(no_tags, card, none))
    add_owned(batch, "evaluation", ids, evaluation_rows(card))
    batch.add("lineage", lineage_rows(no_tags, card, ids))
    batch.add("stated", _stated(ids, card, no_tags))
    for row, complaints in card.wrong.items():
        batch.fail(ids[row], "card", "; ".join(complaints))


def _stated(ids: pl.Series, card: Fields, no_tags: pl.DataFrame) -> pl.DataFrame:
    license, license_spdx = licenses(len(ids), no_tags, card)
    task, library = card.text("pipeline_tag").alias("task"), card.text("library_name").alias("library")
    return pl.DataFrame([ids.alias("model_id"), license, license_spdx, task, library])
