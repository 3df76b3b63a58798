"""Sections and metadata of a card -> which topics it documents, and how complete it is."""

from collections.abc import Iterable, Mapping, Sequence
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


class Documented(NamedTuple):
    """A topic of a scheme, mitchell or template, that a section (by its place) or a field of the metadata is about."""

    scheme: str
    topic: str
    position: int | None
    field: str | None
    filled: bool


def documented(sections: Sequence[Section], metadata: Mapping[str, Any] | None) -> list[Documented]:
    """Give what the parts of a card are about, filled or not."""
    topics = zip(section_topics(sections), sections, strict=True)
    found = [
        Documented(scheme, topic, place, None, section.filled)
        for place, (named, section) in enumerate(topics)
        for scheme, topic in _schemes(named)
    ]
    return found + [
        Documented(scheme, topic, None, field, True)
        for field, value in (metadata or {}).items()
        if field in FIELDS and _says_something(field, value)
        for named in FIELDS[field]
        for scheme, topic in _schemes(named)
    ]


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


def _schemes(topics: Topics) -> Iterable[tuple[str, str]]:
    for topic in topics.mitchell:
        yield "mitchell", topic
    if topics.template:
        yield "template", topics.template


def _says_something(field: str, value: object) -> bool:
    if field != "model-index":
        return bool(value)
    models = value if isinstance(value, list) else []
    results = [result for model in models if isinstance(model, dict) for result in _listed(model, "results")]
    return any(_listed(result, "metrics") for result in results if isinstance(result, dict))


def _listed(record: Mapping[str, Any], name: str) -> list[Any]:
    value = record.get(name)
    return value if isinstance(value, list) else []


def filled(topics: Iterable[Documented], scheme: str) -> set[str]:
    """Give the topics of a scheme of which anything says something."""
    return {one.topic for one in topics if one.filled and one.scheme == scheme}


def score(topics: Iterable[Documented]) -> float:
    """Give the completeness, 0 to 1: the weights of the sections of Mitchell et al. that are filled."""
    return sum(WEIGHTS[topic] for topic in filled(topics, "mitchell")) / 100
