"""Sections and metadata of a card -> which topics it documents."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from miners.cards.sections import Section
from miners.cards.topics import Topics, topics_of

WEIGHTS = {  # hundredths of the score; docs/documentation_score.md says why
    "model_details": 20,
    "intended_use": 15,
    "factors": 5,
    "metrics": 10,
    "evaluation_data": 10,
    "training_data": 15,
    "quantitative_analyses": 10,
    "ethical_considerations": 10,
    "caveats_and_recommendations": 5,
}
TITLE = Topics(("model_details",), "model_summary")
NOTHING = Topics()
FIELDS = {  # of the metadata: what they document
    "datasets": [Topics(("training_data",), "training_data")],
    "metrics": [Topics(("metrics",), "metrics")],
    "model-index": [
        Topics(("evaluation_data",), "testing_data"),
        Topics(("metrics",), "metrics"),
        Topics(("quantitative_analyses",), "results"),
    ],
}


class About(NamedTuple):
    """What a section, by its place, or a field of the metadata is about, and whether it says anything."""

    position: int | None
    field: str | None
    topics: Topics
    filled: bool


def documented(sections: Sequence[Section], metadata: Mapping[str, Any] | None) -> list[About]:
    """Give what the parts of a card are about, filled or not."""
    found = [
        About(place, None, topics, section.filled)
        for place, (topics, section) in enumerate(zip(section_topics(sections), sections, strict=True))
        if topics is not NOTHING
    ]
    if metadata:
        stated = [field for field in FIELDS if field in metadata and _says_something(field, metadata[field])]
        found += [About(None, field, topics, True) for field in stated for topics in FIELDS[field]]
    return found


def section_topics(sections: Sequence[Section]) -> list[Topics]:
    """Give what each section is about.

    A heading that no rule knows stands for what the heading above it stands for. The text before the first heading,
    and that under the title, is about the model itself; what stands below the title is not.
    """
    above: list[tuple[int, Topics]] = []
    found = []
    for place, section in enumerate(sections):
        while above and above[-1][0] >= section.level:
            above.pop()
        named = topics_of(section.heading) if section.heading else None
        is_title = named is None and (place == 0 or (place == 1 and sections[0].level == 0))
        if named is None:
            named = above[-1][1] if above else NOTHING
        above.append((section.level, named))
        found.append(TITLE if is_title else named)
    return found


def _says_something(field: str, value: object) -> bool:
    if field != "model-index":
        return bool(value)
    models = value if isinstance(value, list) else []
    results = [result for model in models if isinstance(model, dict) for result in _listed(model, "results")]
    return any(_listed(result, "metrics") for result in results if isinstance(result, dict))


def _listed(record: Mapping[str, Any], name: str) -> list[Any]:
    value = record.get(name)
    return value if isinstance(value, list) else []
