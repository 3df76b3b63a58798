"""The queries that turn a snapshot's records, in their one shape, into the tables' rows, as the page path would."""

from collections.abc import Mapping

from miners.listed_files import FORMATS
from miners.metadata import LINKS, PREFIXES, RELATIONS, UNKNOWN_RELATION
from miners.records import HUB, OBSERVED

LICENSES = "stated_license"
MODEL = [
    *("hub_id", "sha", "location", "task", "library", "license", "architecture", "model_type", "parameters"),
    *("stored_bytes", "files", "downloads", "downloads_all_time", "likes", "trending_score", "gated", "private"),
    *("disabled", "says_tags", "says_card", "says_spaces", "says_files"),
]


def queries(records: str, paths: str, crawl_id: str, observed_at: str) -> Mapping[str, str]:
    """Give a query for each table over `records`, a relation of the shape all of whose rows fit.

    `paths` is the same with the column paths, which `records` need not have. `observed_at` is the time of the snapshot
    in ISO 8601. A relation `stated_license` gives the SPDX expression (license_spdx) of each license. What `evaluation`
    and `failure` have comes from records that do not fit.
    """
    return {
        "model": _models(records, crawl_id, observed_at),
        "observation": _observations(records, crawl_id, observed_at),
        "revision": f"""
            SELECT model_id, sha, modified_at::TIMESTAMPTZ AS committed_at, 'listing' AS source
            FROM {records} WHERE sha IS NOT NULL
        """,  # noqa: S608 - our own names
        "tag": _tags(records),
        "link": _links(records),
        "file": _files(paths),
        "lineage": _parents(records),
    }


def _models(records: str, crawl_id: str, observed_at: str) -> str:
    return f"""
        SELECT model_id, '{HUB}' AS hub, if(contains(name, '/'), split_part(name, '/', 1), NULL) AS owner,
            split_part(name, '/', -1) AS name, {", ".join(MODEL)},
            created_at::TIMESTAMPTZ AS created_at, modified_at::TIMESTAMPTZ AS modified_at,
            TIMESTAMPTZ '{observed_at}' AS last_seen, '{crawl_id}' AS crawl_id, license_spdx
        FROM {records} LEFT JOIN {LICENSES} USING (license)
    """  # noqa: S608 - our own names


def _observations(records: str, crawl_id: str, observed_at: str) -> str:
    said = ", ".join(column for column in OBSERVED if column not in ("crawl_id", "modified_at"))
    return f"""
        SELECT {said}, modified_at::TIMESTAMPTZ AS modified_at, '{crawl_id}' AS crawl_id,
            TIMESTAMPTZ '{observed_at}' AS observed_at
        FROM {records}
    """  # noqa: S608 - our own names


def _tags(records: str) -> str:
    """Give the tags; what a card or another tag calls a language is one, in whatever way a tag names it."""
    return f"""
        SELECT model_id, if(prefixed, rest, text) AS tag, if(prefixed, prefix, 'plain') AS kind
        FROM (
            SELECT *, CASE WHEN colon > 0 THEN left(text, colon - 1) END AS prefix,
                CASE WHEN colon > 0 THEN substr(text, colon + 1) END AS rest,
                colon > 0 AND rest <> '' AND prefix IN ({_listed(PREFIXES)}) AS prefixed
            FROM (SELECT *, strpos(text, ':') AS colon FROM (
                SELECT model_id, languages, unnest(tags) AS text FROM {records}
            ))
        )
        WHERE languages IS NULL OR NOT if(prefixed, prefix = 'language', list_contains(languages, text))
        UNION ALL SELECT model_id, unnest(languages), 'language' FROM {records}
    """  # noqa: S608 - our own names


def _links(records: str) -> str:
    """Give the links; what a tag names already, a card need not."""
    prefixes = " ".join(f"WHEN '{prefix}' THEN '{kind}'" for prefix, kind in LINKS.items())
    return f"""
        SELECT model_id, CASE text[:colon - 1] {prefixes} END AS kind, text[colon + 1:] AS target, 'tags' AS source
        FROM (SELECT *, strpos(text, ':') AS colon FROM (SELECT model_id, unnest(tags) AS text FROM {records}))
        WHERE colon > 0 AND text[:colon - 1] IN ({_listed(list(LINKS))}) AND len(text) > colon
        UNION ALL SELECT model_id, 'dataset', target, 'card' FROM (
            SELECT model_id, tags, unnest(list_distinct(datasets)) AS target FROM {records}
        ) WHERE NOT list_contains(tags, 'dataset:' || target)
        UNION ALL SELECT model_id, 'space', unnest(spaces), 'listing' FROM {records}
    """  # noqa: S608 - our own names


def _files(records: str) -> str:
    ending = "lower(split_part(path, '.', -1))"
    return f"""
        SELECT model_id, path, {_looked_up(ending, FORMATS)} AS format, NULL::BIGINT AS bytes
        FROM (SELECT model_id, unnest(paths) AS path FROM {records})
    """  # noqa: S608 - our own names


def _parents(records: str) -> str:
    """Give each relation to a parent once, those of tags first; one that is not stated only where no other is."""
    stated = f"'^(?:({'|'.join(RELATIONS)}):)?(.*)$'"
    return f"""
        WITH said AS (
            SELECT model_id, regexp_extract(text, {stated}, 2) AS parent,
                coalesce(nullif(regexp_extract(text, {stated}, 1), ''), '{UNKNOWN_RELATION}') AS relation,
                'tags' AS source
            FROM (SELECT model_id, unnest(tag_parents) AS text FROM {records})
            UNION ALL
            SELECT model_id, unnest(list_distinct(card_parents)), coalesce(card_relation, '{UNKNOWN_RELATION}'), 'card'
            FROM {records}
        ), parents AS (
            SELECT model_id, parent, list({{'relation': relation, 'source': source}}) AS relations,
                bool_or(relation <> '{UNKNOWN_RELATION}') AS is_known
            FROM (SELECT model_id, parent, relation, max(source) AS source FROM said GROUP BY ALL) GROUP BY ALL
        )
        SELECT model_id AS child_id, '{HUB}:' || parent AS parent_id, stated.relation AS relation,
            stated.source AS source, 1.0 AS confidence
        FROM (SELECT model_id, parent, is_known, unnest(relations) AS stated FROM parents)
        WHERE NOT is_known OR stated.relation <> '{UNKNOWN_RELATION}'
    """  # noqa: S608 - our own names


def _looked_up(text: str, known: Mapping[str, str]) -> str:
    cases = " ".join(f"WHEN '{key}' THEN '{value}'" for key, value in known.items())
    return f"CASE {text} {cases} END"


def _listed(names: list[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)
