"""What tags and a card's metadata say in lists: tags and languages, links, and which models this one comes from.

The frames here have a column `row` that says whose they are: the record's place in its page.
"""

import re

import polars as pl

from miners.fields import Fields

PREFIXES = [
    *("adapterhub", "arxiv", "base_model", "benchmark", "dataset", "dataset_size", "deploy", "diffusers", "doi"),
    *("language", "library", "license", "loss", "pipeline_tag", "region", "template"),
]
HUB = "huggingface"  # what a base model is a repository of
LINKS = {"arxiv": "paper", "dataset": "dataset", "doi": "doi"}
RELATIONS = ["finetune", "adapter", "quantized", "merge"]
UNKNOWN_RELATION = "base"
LONGEST_ID = 256
ID = r"\A(?:[A-Za-z0-9._-]+/)?[A-Za-z0-9._-]+\z"
REPOSITORY = re.compile(r"(?!\.\.?/)(?:[A-Za-z0-9._-]+/)?(?!\.\.?\Z)[A-Za-z0-9._-]+")
DOTS = r"\A\.\.?(?:/|\z)|/\.\.?\z"
ADDRESS = r"\Ahttps?://(?:www\.)?(?:huggingface\.co|hf\.co)/"


def is_repository(name: str) -> bool:
    """Say whether a text can name a repository of the Hub: `name` or `owner/name`, in the Hub's characters.

    >>> is_repository("gpt2"), is_repository("google/vit"), is_repository("a/b/c"), is_repository("a/..")
    (True, True, False, False)
    """
    return len(name) <= LONGEST_ID and REPOSITORY.fullmatch(name) is not None


def tag_parts(tags: pl.DataFrame) -> pl.DataFrame:
    """Split tags (row, text) into (row, tag, kind); one without a prefix of the Hub's is `plain` and stays whole."""
    parts = tags.with_columns(pl.col("text").str.splitn(":", 2).alias("parts")).unnest("parts")
    prefixed = pl.col("field_0").is_in(PREFIXES) & (pl.col("field_1") != "")
    return parts.select(
        "row",
        tag=pl.when(prefixed).then("field_1").otherwise("text"),
        kind=pl.when(prefixed).then("field_0").otherwise(pl.lit("plain")),
    )


def languages(card: Fields) -> pl.DataFrame:
    """Give the languages (row, text) of cards; false, which is what YAML 1.1 makes of Norwegian's `no`, is undone."""
    spoken = [_without_false(value) for value in card.raw("language")]
    return Fields([{"language": value} for value in spoken], card.wrong, card.place).texts("language")


def _without_false(value: object) -> object:
    if isinstance(value, list):
        return ["no" if item is False else item for item in value]
    return "no" if value is False else value


def tag_rows(tags: pl.DataFrame, spoken: pl.DataFrame) -> pl.DataFrame:
    """Give (row, tag, kind) of all tags, each once, and of the cards' languages; those have kind language.

    A tag that is a language by the card, or by another tag with the prefix, is one without a prefix, too.
    """
    prefixed = tags.filter(kind="language").select("row", "tag")
    stated = pl.concat([spoken.select("row", tag="text"), prefixed]).unique(maintain_order=True)
    if stated.is_empty():
        return tags
    language = stated.with_columns(language=pl.lit(True))
    joined = tags.join(language, on=["row", "tag"], how="left", maintain_order="left")
    is_language = (pl.col("kind") == "plain") & pl.col("language").is_not_null()
    named = joined.select("row", "tag", kind=pl.when(is_language).then(pl.lit("language")).otherwise("kind"))
    known = named.filter(kind="language").unique(maintain_order=True)
    added = language.join(known, on=["row", "tag"], how="anti").select("row", "tag", kind=pl.lit("language"))
    return pl.concat([named.filter(pl.col("kind") != "language"), known, added])


def link_rows(tags: pl.DataFrame, card: Fields, spaces: pl.DataFrame) -> pl.DataFrame:
    """Give (row, kind, target, source) of the papers, datasets, DOIs and spaces that are named, each once."""
    tagged = tags.filter(pl.col("kind").is_in(list(LINKS))).select(
        "row", pl.col("kind").replace(LINKS), target="tag", source=pl.lit("tags")
    )
    carded = _links(card.texts("datasets"), "dataset", "card")
    listed = _links(spaces, "space", "listing")
    return pl.concat([tagged, carded, listed]).unique(["row", "kind", "target"], keep="first", maintain_order=True)


def _links(texts: pl.DataFrame, kind: str, source: str) -> pl.DataFrame:
    return texts.select("row", kind=pl.lit(kind), target="text", source=pl.lit(source))


def lineage_rows(tags: pl.DataFrame, card: Fields, children: pl.Series) -> pl.DataFrame:
    """Give (child_id, parent_id, relation, source, confidence), each relation to a parent once.

    The relation is what is stated, or `base` where nothing is. `children` are the records' model_id; a parent
    that is no repository is refused in `card.wrong`. A model that names itself is kept: `lineage_problems` shows it.
    """
    stated = f"^(?:({'|'.join(RELATIONS)}):)?(.*)$"
    tagged = tags.filter(kind="base_model").select(
        "row",
        parent=pl.col("tag").str.extract(stated, 2),
        relation=pl.col("tag").str.extract(stated, 1).fill_null(UNKNOWN_RELATION),
        source=pl.lit("tags"),
    )
    relation = _card_relation(card)
    carded = card.texts("base_model").select(
        "row",
        parent="text",
        relation=pl.lit(relation).gather("row"),
        source=pl.lit("card"),
    )
    parents = _refused(_each_once(pl.concat([tagged, carded])), card, children)
    return parents.select("child_id", "parent_id", "relation", "source", confidence=pl.lit(1.0))


def _each_once(parents: pl.DataFrame) -> pl.DataFrame:
    """Keep the first row of each relation to a parent; one that states no relation only where no other does."""
    parents = parents.with_columns(pl.col("parent").str.strip_chars().str.replace(ADDRESS, "").str.strip_chars_end("/"))
    known = parents.filter(pl.col("relation") != UNKNOWN_RELATION)
    unknown = parents.filter(relation=UNKNOWN_RELATION).join(known, on=["row", "parent"], how="anti")
    return pl.concat([known, unknown]).unique(["row", "parent", "relation"], keep="first", maintain_order=True)


def _card_relation(card: Fields) -> pl.Series:
    stated = card.text("base_model_relation")
    for position in (stated.is_not_null() & ~stated.is_in(RELATIONS)).arg_true():
        card.refuse(position, "base_model_relation", f"one of {', '.join(RELATIONS)}", stated[position])
    return pl.select(pl.when(stated.is_in(RELATIONS)).then(stated).otherwise(pl.lit(UNKNOWN_RELATION))).to_series()


def _refused(parents: pl.DataFrame, card: Fields, children: pl.Series) -> pl.DataFrame:
    """Drop the parents that cannot be, after saying so in `card.wrong`."""
    parent = pl.col("parent")
    checked = parents.with_columns(
        child_id=pl.lit(children).gather("row"),
        parent_id=pl.lit(f"{HUB}:") + parent,
        legal=parent.str.contains(ID) & ~parent.str.contains(DOTS) & (parent.str.len_bytes() <= LONGEST_ID),
    )
    for row, name in checked.filter(~pl.col("legal")).select("row", "parent").iter_rows():
        card.refuse(row, "base_model", "a repository owner/name", name)
    return checked.filter("legal")
