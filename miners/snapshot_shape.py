"""The query that brings a snapshot's records into one shape, whatever their columns are.

A row of the shape is a record, in the order of the file: `name` (owner/name), its `model_id`, the scalars of `model`,
the lists `tags`, `paths`, `spaces`, `datasets`, `languages`, `tag_parents` and `card_parents`, and `fits`: whether the
row says all that the record does. Only such rows are turned into the tables' rows by SQL; any other record goes the
page path, which knows every oddity and names what is wrong.
"""

from collections.abc import Mapping

from miners.metadata import HUB, RELATIONS
from miners.snapshot_columns import PLAIN, TEXTS, WHOLE, full_match, split_texts
from miners.snapshot_layouts import fields

PART = r"([A-Za-z0-9_-][A-Za-z0-9._-]*|\.[A-Za-z0-9_-][A-Za-z0-9._-]*|\.\.[A-Za-z0-9._-]+)"
REPOSITORY = f"({PART}/)?{PART}"
STATED_PARENT = f"(({'|'.join(RELATIONS)}):)?{REPOSITORY}"
LONGEST_ID = 256
HUGE = "[0-9]{17}"
PARTS = {  # of the nested fields: the name, and where it is
    "card": ["license", "language", "datasets", "base_model", "base_model_relation"],
    "config": ["architectures", "model_type", "diffusers", "diffusers._class_name"],
    "safetensors": ["total", "parameters"],
    "gguf": ["total", "architecture"],
}
OBJECTS = {"card": "cardData"}
EACH_ONCE = "list_unique(said_{0}) = len(said_{0})"
IN_ORDER = (  # as the Hub lists nearly all files; quicker to tell than that no path is there twice
    "said_siblings[1] IS NOT NULL"
    " AND len(list_filter(said_siblings, lambda x, i: x > said_siblings[i - 1])) = len(said_siblings) - 1"
)
CONDITIONS = [
    "typed",
    "name IS NOT NULL",
    "(said_id IS NULL OR said_id = name)",
    full_match("said_sha", "[0-9a-f]{40}"),
    *(f"(said_{list} IS NULL OR {EACH_ONCE.format(list)})" for list in ("tags", "spaces")),
    f"(said_siblings IS NULL OR CASE WHEN {IN_ORDER} THEN true ELSE {EACH_ONCE.format('siblings')} END)",
    *(full_match(f"card_{part}", TEXTS) for part in ("license", "language", "datasets", "base_model")),
    full_match("card_base_model_relation", '"(' + "|".join(RELATIONS) + ')"'),
    full_match("config_architectures", TEXTS),
    *(full_match(text, PLAIN) for text in ("config_model_type", "config_diffusers__class_name", "gguf_architecture")),
    "(config_diffusers IS NULL OR config_diffusers[1] = '{')",
    full_match("safetensors_total", WHOLE),
    f"(safetensors_parameters IS NULL OR (safetensors_total IS NOT NULL AND safetensors_parameters[1] = '{{'"
    f" AND NOT regexp_matches(safetensors_parameters, '{HUGE}')))",
    full_match("gguf_total", WHOLE),
    "coalesce(len(tag_licenses), 0) <= 1",
    "(len(tag_licenses) = 1 OR coalesce(len(card_licenses), 0) <= 1)",
    f"len(list_filter(tag_parents, lambda x: NOT regexp_full_match(x, '{STATED_PARENT}')"
    f" OR regexp_replace(x, '^({'|'.join(RELATIONS)}):', '') = name OR len(x) > {LONGEST_ID})) IS NOT DISTINCT FROM"
    " if(tag_parents IS NULL, NULL, 0)",
    f"(card_parents IS NULL OR len(list_filter(card_parents, lambda x: NOT regexp_full_match(x, '{REPOSITORY}')"
    f" OR x = name OR len(x) > {LONGEST_ID})) = 0)",
]


def shape(
    columns: Mapping[str, str], source: str, time: str | None = None, place: str = "NULL", is_checked: bool = False
) -> str:
    """Give the query over `source`, the records; `time` and `place` are expressions for when and where they stood.

    With `is_checked` nobody asks whether a record fits: `fits` is true, and the row of one that does not says anything.
    """
    parts = ", ".join(_extracted(name) for name in PARTS)
    named = ", ".join(_named(name) for name in PARTS)
    ids = ["said_id", "said_modelId"]
    name = f"coalesce({', '.join(ids if is_checked else map(_usable, ids))})"
    return f"""
        SELECT place, observed_at, name, '{HUB}:' || name AS model_id, {_SCALARS}, coalesce(said_tags, []) AS tags,
            said_siblings AS paths, said_spaces AS spaces, {split_texts("card_datasets")} AS datasets,
            tag_parents, card_parents, said_model_index AS results,
            card_base_model_relation[2:-2] AS card_relation, says_tags, says_card, says_spaces, says_files,
            list_distinct(list_concat({split_texts("card_language")}, tag_languages)) AS languages,
            ({"true" if is_checked else " AND ".join(CONDITIONS)}) AS fits
        FROM (
            SELECT *, {name} AS name,
                {_tagged("license")} AS tag_licenses, {_tagged("language")} AS tag_languages,
                {_tagged("base_model")} AS tag_parents,
                {split_texts("card_license")} AS card_licenses, {split_texts("card_base_model")} AS card_parents
            FROM (
                SELECT *, {named}, list_filter(said_tags, lambda x: contains(x, ':')) AS prefixed
                FROM (SELECT *, {parts} FROM ({_typed(columns, source, time, place)}))
            )
        )
    """  # noqa: S608 - our own names


_SCALARS = """
    said__id AS hub_id, said_sha AS sha, said_location AS location, said_pipeline_tag AS task,
    said_library_name AS library, coalesce(tag_licenses[1], card_licenses[1]) AS license,
    coalesce(config_architectures_first, config_diffusers__class_name[2:-2]) AS architecture,
    coalesce(config_model_type[2:-2], gguf_architecture[2:-2]) AS model_type,
    coalesce(TRY_CAST(safetensors_total AS BIGINT), TRY_CAST(gguf_total AS BIGINT)) AS parameters,
    said_usedStorage AS stored_bytes, len(said_siblings) AS files, said_downloads AS downloads,
    said_downloadsAllTime AS downloads_all_time, said_likes AS likes, said_trendingScore AS trending_score,
    said_gated AS gated, said_private AS private, said_disabled AS disabled,
    said_createdAt AS created_at, said_lastModified AS modified_at
""".replace("config_architectures_first", f"({split_texts('config_architectures')})[1]")


def _typed(columns: Mapping[str, str], source: str, time: str | None, place: str) -> str:
    has = fields(columns)
    said = ", ".join(f"{field.value} AS {_said(name)}" for name, field in has.items())
    fits = " AND ".join(field.fits for name, field in has.items() if name in columns)
    observed = f"""TRY_CAST(trim("{time}"::VARCHAR, '"') AS TIMESTAMP)""" if time else "NULL::TIMESTAMP"
    return f"""
        SELECT {place} AS place, {said}, {observed} AS observed_at, ({fits}) AS typed,
            {_says("tags", columns)} AS says_tags, {_says("spaces", columns)} AS says_spaces,
            {_says("siblings", columns)} AS says_files,
            {_says("cardData", columns)} OR {_says("model-index", columns)} AS says_card
        FROM {source}
    """  # noqa: S608 - our own names


def _said(name: str) -> str:
    return f"said_{name.replace('-', '_')}"


def _says(name: str, columns: Mapping[str, str]) -> str:
    if name not in columns:
        return "false"
    empty = f""" AND "{name}" NOT IN ('', 'null')""" if columns[name] == "VARCHAR" else ""
    return f"""("{name}" IS NOT NULL{empty})"""


def _extracted(name: str) -> str:
    paths = ", ".join(f"'$.{part}'" for part in PARTS[name])
    return f"json_extract({_said(OBJECTS.get(name, name))}, [{paths}]) AS {name}_parts"


def _named(name: str) -> str:
    return ", ".join(
        f"nullif({name}_parts[{place}]::VARCHAR, 'null') AS {name}_{part.replace('.', '_')}"
        for place, part in enumerate(PARTS[name], start=1)
    )


def _usable(name: str) -> str:
    return f"CASE WHEN regexp_full_match({name}, '{REPOSITORY}') AND len({name}) <= {LONGEST_ID} THEN {name} END"


def _tagged(kind: str) -> str:
    """Give what tags with a prefix say; NULL where no tag has it."""
    start = len(kind) + 2
    having = f"list_filter(prefixed, lambda x: starts_with(x, '{kind}:') AND len(x) >= {start})"
    return f"CASE WHEN len({having}) > 0 THEN list_transform({having}, lambda x: x[{start}:]) END"
