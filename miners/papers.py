"""Addresses and citations of publications -> links of a package."""

import re
from collections.abc import Iterable

from miners.cards.mentions import mentions
from miners.package import Package

WEB = re.compile(r"https?://\S+")


def addresses(value: object) -> list[str]:
    """Give the web addresses in a text; none of anything else."""
    return WEB.findall(value) if isinstance(value, str) else []


def link_papers(package: Package, targets: Iterable[object], citation: object = None) -> None:
    """Link papers by their arXiv identifiers and DOIs, where an address or the citation has one, else by address."""
    cited = _named(str(citation or ""))
    for kind, target in cited:
        package.link(kind, target)
    for address in [address for target in targets for address in addresses(target)]:
        named = _named(address)
        for kind, target in named:
            package.link(kind, target)
        if not named and not any(kind == "paper" for kind, _ in cited):
            package.link("paper", address)


def _named(text: str) -> list[tuple[str, str]]:
    return [(one.kind, one.target) for one in mentions(text, text.lower()) if one.kind in ("paper", "doi")]
