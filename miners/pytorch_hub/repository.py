"""PyTorch Hub as a catalogue (https://github.com/pytorch/hub): pages of models, and the entry points in their code.

A page is a package; each entry point of a `torch.hub.load` in its code is a model, named by its repository and itself.
"""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

from miners.cards import Card, read_card
from miners.catalogue import Catalogue, Described, Files, miner
from miners.github import SITE, archived, github_client
from miners.markdown import code_blocks
from miners.package import Lost, Package
from miners.pytorch_hub.results import add_results

HUB = "pytorch_hub"
REPOSITORY = "pytorch/hub"
PAGES = "https://pytorch.org/hub"
NO_PAGES = {"readme.md", "contributing.md", "code_of_conduct.md"}
LIBRARY = "pytorch"
TORCH_HUB = "torch_hub"  # what the ONNX Model Zoo calls this hub
CALL = re.compile(
    r"torch\.hub\.load\(\s*(?:repo_or_dir\s*=\s*)?['\"](?P<repository>[\w./-]{3,200})(?::(?P<revision>[\w./-]{1,100}))?['\"]"
    r"\s*,\s*(?:model\s*=\s*)?(?:['\"](?P<entry>[^'\"\n]{1,200})['\"]|(?P<variable>[A-Za-z_]\w{0,100}))"
)
COMMENT = re.compile(r"^[ \t]*#+ ?", re.MULTILINE)
QUOTES = "\N{LEFT DOUBLE QUOTATION MARK}\N{RIGHT DOUBLE QUOTATION MARK} "
SAID = {"title": "title", "summary": "summary", "author": "author", "category": "category", "github-id": "repository"}


class EntryPoint(NamedTuple):
    """An entry point that a page's code loads; `evidence` is the code, which calls it by name or by a variable."""

    repository: str
    name: str
    revision: str | None
    evidence: str

    @property
    def address(self) -> str:
        """The model's name: the repository and the entry point."""
        return f"{self.repository}/{self.name}"


def wanted(path: str, size: int) -> bool:
    """Say whether a file is a model's page."""
    return path.endswith(".md") and "/" not in path and path.lower() not in NO_PAGES


def describe(files: Files) -> Described:
    """Turn the pages into packages, and their entry points into models."""
    found = Described()
    models: dict[str, Package] = {}
    for path, body in sorted(files.items()):
        card = read_card(body)
        if not card.metadata:
            found.lost.append(Lost(path, f"no page of a model: {', '.join(card.problems) or 'empty front matter'}"))
            continue
        page = _page(path, body, card.metadata)
        found.packages.append(page)
        of_the_page = {}
        for entry in _entry_points(card.text, page):
            model = models.setdefault(entry.address, Package(entry.address, library=LIBRARY))
            _describe(model, entry, page, card)
            of_the_page[entry.address] = model
        found.unplaced += add_results(path, card.text, of_the_page)
    _name(models)
    found.packages += models.values()
    return found


def _name(models: dict[str, Package]) -> None:
    """Link the names that models go by: in their repository, and in all of torch.hub where no other has that name."""
    names = Counter(address.rpartition("/")[2].casefold() for address in models)
    for address, model in models.items():
        repository, _, name = address.rpartition("/")
        model.link("known_as", f"github.com/{repository}#{name}")
        if names[name.casefold()] == 1:
            model.link("known_as", f"{TORCH_HUB}#{name}")


def _page(path: str, body: bytes, metadata: dict[str, Any]) -> Package:
    page = Package(path.removesuffix(".md"), library=LIBRARY, card=(path, body))
    tags = metadata.get("tags")
    page.tag(tags if isinstance(tags, list) else [tags])
    for field, statement in SAID.items():
        page.say(statement, metadata.get(field), path)
    accelerator = metadata.get("accelerator")
    page.say("accelerator", accelerator.strip(QUOTES) if isinstance(accelerator, str) else accelerator, path)
    page.link("home", f"{PAGES}/{page.name}/")
    page.link("code", metadata.get("github-link"))
    page.link("demo", metadata.get("demo-model-link"))
    return page


def _entry_points(text: str, page: Package) -> Iterator[EntryPoint]:
    """Give the entry points of a page's code, what stands in comments (variants, mostly) included."""
    for block in code_blocks(text):
        code = COMMENT.sub("", block)
        for call in CALL.finditer(code):
            evidence = " ".join(call[0].split())
            names = {"": call["entry"]} if call["entry"] else _assigned(code, call["variable"])
            if not names:
                page.problems.append(f"{evidence}: {call['variable']} is not set in this code")
            for line, name in names.items():
                yield EntryPoint(
                    call["repository"], name, call["revision"], f"{line}; {evidence}" if line else evidence
                )


def _assigned(code: str, variable: str) -> dict[str, str]:
    """Give the texts that code assigns to a variable, by the line that does."""
    found = re.findall(rf"(?m)^\s*({re.escape(variable)}\s*=\s*['\"]([^'\"\n]{{1,200}})['\"])", code)
    return dict(found)


def _describe(model: Package, entry: EntryPoint, page: Package, card: Card) -> None:
    path = f"{page.name}.md"
    model.tag([tag for tag, _ in page.tags])
    model.link("page", f"{HUB}:{page.name}")
    model.link("home", f"https://github.com/{entry.repository}")
    model.link("code", f"https://github.com/{entry.repository}")
    for mention in card.mentions:
        model.link(mention.kind, mention.target, "page")
    model.say("entry_point", entry.name, path, entry.evidence)
    model.say("revision", entry.revision, path, entry.evidence)
    model.say("page", page.name, path)


CATALOGUE = Catalogue(HUB, SITE, wanted, archived(REPOSITORY, wanted), describe, github_client)
mine = miner(CATALOGUE)
