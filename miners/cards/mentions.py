"""A card's text -> the papers, DOIs and code repositories that it links to."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import unquote

from miners.cards.sections import IMAGE

ID = (
    r"(?:(?P<year>\d\d)(?P<month>\d\d)\.(?P<number>\d{4,5})(?!\d)|"  # since April 2007
    r"(?P<old>(?:astro-ph|cond-mat|cs|gr-qc|hep-(?:ex|lat|ph|th)|math|math-ph|nlin|nucl-(?:ex|th)|physics|q-bio|"
    r"quant-ph|stat)(?:\.[a-z]{2})?/\d{7})(?!\d))"
)
PAPER = {  # a word in lower case -> what follows it where it names a paper
    "arxiv": r"arxiv(?:\.org/(?:abs|pdf|html|ps|format)/|[:.,]?\s{0,3}(?:abs/)?)",
    "abs/": r"(?:(?<=[\s{\"])|(?<=iv\.org/))abs/",  # the volume of CoRR, and mirrors of arXiv
    "/papers/": r"(?<=hf\.co)/papers/|(?<=huggingface\.co)/papers/",
    "eprint": r"eprint\s{0,9}=\s{0,9}[{\"]\s{0,3}",
}
PAPERS = [(word, re.compile(f"(?:{before}){ID}")) for word, before in PAPER.items()]
WITHOUT_ARXIV = [one for one in PAPERS if one[0] not in ("arxiv", "eprint")]  # an eprint names its archive
DOI = re.compile(r"(?:(?<![\w./%-])|(?<=doi\.org/))10\.\d{4,9}(?:\.\d+)*/[^\s\"'<>{}\[\]|\\^`,]{1,200}")
ARXIV_DOI = "10.48550/arxiv."
IMG = re.compile(r"<[iI][mM][gG]\b[^<>]*>")
ADDRESS = re.compile(r"[^\s)\"'<>\]]{0,1000}")
PICTURE = re.compile(r"\.(?:png|jpe?g|gif|svg|webp)\b")
CLOSING = ".;:!?*_~&"
HOST = {  # how an address begins -> the rest of it before the owner
    "git": r"(git(?:hub\.com|lab\.com|ee\.com|\.sr\.ht)|(?<=raw\.)githubusercontent\.com)",
    "bitbucket.org": r"(bitbucket\.org)",
    "codeberg.org": r"(codeberg\.org)",
}
PLACE = r"(?:(?<![\w.-])|(?<=\bwww\.)|(?<=\braw\.))"
NAME = r"[/:](~?[a-z0-9][\w-]{0,62})/([\w.-]{1,100})"
HOSTS = [(word, re.compile(f"{PLACE}{host}{NAME}", re.ASCII)) for word, host in HOST.items()]
NO_OWNERS = {
    *("about", "apps", "assets", "collections", "explore", "features", "groups", "login", "marketplace", "orgs"),
    *("search", "settings", "site", "sponsors", "stars", "topics", "trending", "user-attachments", "users"),
}
NAMING = {"arxiv", "doi", "paper", "papers", "citation", "repository", "repo", "code", "github"}  # fields of metadata


class Mention(NamedTuple):
    """A link as the table has it: kind paper (an arXiv identifier), doi or code (a repository's address)."""

    kind: str
    target: str


def mentions(text: str, lower: str, metadata: Mapping[str, Any] | None = None) -> list[Mention]:
    """Give what a text and a card's metadata link to, each once, without what stands in the addresses of pictures.

    `text` is what a reader sees of the card, without the template's sentences, and `lower` the same in lower case.
    arXiv identifiers come without version, DOIs in lower case and without address, and a DOI of arXiv's as its
    identifier.
    """
    stated = _stated(metadata) if metadata else ""
    shown = f"{text}\n{stated}" if stated else text
    if "![" in shown:
        shown = IMAGE.sub(" ", shown)
    if "<img" in lower:
        shown = IMG.sub(" ", shown)
    if shown is not text:
        lower = shown.lower()
    unique: dict[tuple[str, str], Mention] = {}
    for found in (_papers(lower), _dois(lower), _code(shown, lower)):
        for one in found:
            unique.setdefault((one.kind, one.target.lower()), one)
    return list(unique.values())


def _stated(metadata: Mapping[str, Any]) -> str:
    tags = metadata.get("tags")
    found = []
    if isinstance(tags, list):
        found += [tag for tag in tags if isinstance(tag, str) and tag.startswith(("arxiv:", "doi:"))]
    for name in sorted(NAMING & metadata.keys()):
        value = metadata[name]
        found += [f"{name}:{item}" for item in (value if isinstance(value, list) else [value]) if isinstance(item, str)]
    return "\n".join(found)


def _matches(lower: str, word: str, pattern: re.Pattern[str]) -> Iterator[re.Match[str]]:
    """Give where a pattern that begins at a word matches, but for addresses of pictures."""
    place = lower.find(word)
    while place >= 0:
        match = pattern.match(lower, place)
        if match and not _is_picture(lower, place):
            yield match
        place = lower.find(word, match.end() if match else place + len(word))


def _is_picture(lower: str, place: int) -> bool:
    address = ADDRESS.match(lower, place)
    return address is not None and PICTURE.search(address[0]) is not None


def _papers(lower: str) -> Iterator[Mention]:
    for word, pattern in PAPERS if "arxiv" in lower else WITHOUT_ARXIV:
        for match in _matches(lower, word, pattern):
            if match["old"]:
                yield Mention("paper", match["old"])
            elif _is_dated(int(match["year"]), int(match["month"]), match["number"]):
                yield Mention("paper", f"{match['year']}{match['month']}.{match['number']}")


def _is_dated(year: int, month: int, number: str) -> bool:
    """Say whether the month can be, and the number has the digits of its time: four until 2014, five since."""
    return 1 <= month <= 12 and (year, month) >= (7, 4) and len(number) == (5 if year >= 15 else 4)


def _dois(lower: str) -> Iterator[Mention]:
    for match in _matches(_readable(lower), "10.", DOI):
        doi = _closed(match[0])
        if doi.startswith(ARXIV_DOI):
            yield Mention("paper", re.sub(r"v\d{1,2}\Z", "", doi.removeprefix(ARXIV_DOI)))
        else:
            yield Mention("doi", doi)


def _readable(lower: str) -> str:
    """Undo what BibTeX and addresses do to a DOI's characters."""
    if "\\_" in lower:
        lower = lower.replace("{\\_}", "_").replace("\\_", "_")
    return unquote(lower) if "doi.org/10." in lower and "%2f" in lower else lower


def _closed(doi: str) -> str:
    """Cut off the punctuation that ends a sentence or closes a bracket around it."""
    doi = doi.rstrip(CLOSING)
    while doi.endswith(")") and doi.count(")") > doi.count("("):
        doi = doi[:-1].rstrip(CLOSING)
    return doi


def _code(text: str, lower: str) -> Iterator[Mention]:
    if len(lower) != len(text):  # a few letters are longer in lower case
        text = lower
    for word, pattern in HOSTS:
        for match in _matches(lower, word, pattern):
            host = match[1].replace("githubusercontent", "github")
            owner, name = text[slice(*match.span(2))], text[slice(*match.span(3))].removesuffix(".git").rstrip(".")
            if name and owner.lower() not in NO_OWNERS:
                yield Mention("code", f"https://{host}/{owner}/{name}")
