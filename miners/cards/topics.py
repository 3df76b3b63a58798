"""Headings of a model card -> what their sections are about.

Two schemes: the nine sections of Mitchell et al. 2019, "Model Cards for Model Reporting" (arXiv:1810.03993), and the
sections of the Hub's model card template (huggingface_hub/templates/modelcard_template.md). A heading belongs to a
topic when it has the words of one of the phrases in headings.toml; case, order, plural, punctuation, numbering and
the words in `IDLE` make no difference. A phrase that ends in "..." needs to be the heading's beginning only.
"""

import re
import tomllib
from collections.abc import Iterator
from functools import lru_cache
from importlib.resources import files
from typing import NamedTuple

MITCHELL = (
    *("model_details", "intended_use", "factors", "metrics", "evaluation_data", "training_data"),
    *("quantitative_analyses", "ethical_considerations", "caveats_and_recommendations"),
)


class Topics(NamedTuple):
    """What a section is about: sections of Mitchell et al., and the section of the Hub's template; perhaps neither."""

    mitchell: tuple[str, ...] = ()
    template: str | None = None

    def named(self) -> Iterator[tuple[str, str]]:
        """Give each topic with its scheme."""
        for topic in self.mitchell:
            yield "mitchell", topic
        if self.template:
            yield "template", self.template


RULES = tomllib.loads(files("miners.cards").joinpath("headings.toml").read_text(encoding="utf-8"))["rule"]
TEMPLATE = tuple(dict.fromkeys(rule["template"] for rule in RULES if "template" in rule))
IDLE = frozenset(re.findall(r"\w+", "a an the of for and or in on to with this our your its is are my model optional"))
ADDRESS = re.compile(r"\]\([^)]*\)|https?://\S+")
WORD = re.compile(r"[a-z0-9]+")
LONGEST = 200  # characters of a heading that are read
Key = frozenset[str]


def words(heading: str) -> list[str]:
    """Give the words of a heading that count.

    >>> words("## 3. Intended Uses & Limitations [optional]")
    ['intended', 'use', 'limitation']
    """
    found = WORD.findall(ADDRESS.sub(" ", heading[:LONGEST]).lower().replace("pre-train", "pretrain"))
    while found and found[0].isdigit():
        del found[0]
    return [_singular(word) for word in found if word not in IDLE] or found


def _singular(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


def _phrases() -> tuple[dict[Key, Topics], dict[tuple[str, ...], Topics]]:
    whole: dict[Key, Topics] = {}
    beginnings: dict[tuple[str, ...], Topics] = {}
    for rule in RULES:
        topics = Topics(tuple(rule.get("mitchell", [])), rule.get("template"))
        for phrase in rule["headings"]:
            whole[frozenset(words(phrase))] = topics
            if phrase.endswith("..."):
                beginnings[tuple(words(phrase))] = topics
    return whole, beginnings


WHOLE, BEGINNINGS = _phrases()
MOST = max(map(len, BEGINNINGS))


@lru_cache(maxsize=2**14)
def topics_of(heading: str) -> Topics | None:
    """Give what a heading names, or None if no rule knows it.

    >>> topics_of("Limitations and bias")
    Topics(mitchell=('ethical_considerations', 'caveats_and_recommendations'), template='bias_risks_limitations')
    >>> topics_of("bert-base-uncased")
    """
    counted = words(heading)
    known = WHOLE.get(frozenset(counted))
    for count in range(min(MOST, len(counted)), 0, -1):
        if known:
            break
        known = BEGINNINGS.get(tuple(counted[:count]))
    return known
