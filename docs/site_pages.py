"""What the documentation's site is made of beside the pages of this folder (mkdocs calls these functions).

Notebooks become pages with what they have shown, the changes and how to contribute become pages, and files elsewhere
in the repository that a page links to are copied, so that no link leads out of the site. Pages that mkdocs.yml does not
name stand at the navigation's end.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from posixpath import normpath, relpath
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
PAGES = {"CHANGELOG.md": "changes.md", "CONTRIBUTING.md": "contributing.md"}
"""Pages that lie in the repository's root, and their names in the site."""
SHIM = "https://unpkg.com/iframe-worker/shim"
"""A script that the theme fetches for pages that are opened from disk; offline_search.js does the same."""
LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#)([^)\s#]+)(?=[)#])")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what does not lie in docs/."""
    for name, page in PAGES.items():
        files.append(_page(config, page, (ROOT / name).read_text(encoding="utf-8"), name))
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        text, pictures = notebook_page(json.loads(path.read_text(encoding="utf-8")), path.stem)
        place = f"notebooks/{path.name}"
        files.append(_page(config, site_path(place), text, place))
        for name, svg in pictures.items():
            files.append(File.generated(config, f"notebooks/{name}", content=svg))
    pages = [(file.src_uri, file.content_string) for file in files.documentation_pages()]
    linked = {target for page, text in pages for target in _outside(page, text)}
    for target in sorted(linked):
        files.append(File.generated(config, site_path(target), abs_src_path=str(ROOT / target)))
    named = json.dumps(config.nav)
    if unnamed := [page for page, _ in pages if f'"{page}"' not in named]:
        config.nav = [*(config.nav or []), {"More": unnamed}]
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Let links to notebooks, pages of the root and files elsewhere lead to their places in the site."""
    where = page.file.src_uri
    if where.startswith("notebooks/") or where in PAGES.values():
        return markdown
    return relinked(markdown, f"docs/{where}", where)


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """Take from this site what the search wants from elsewhere."""
    return output.replace(SHIM, relpath("offline_search.js", Path(page.file.dest_uri).parent.as_posix()))


def on_post_template(output: str, template_name: str, config: MkDocsConfig) -> str:
    """As `on_post_page`, for pages without a source."""
    return output.replace(SHIM, "offline_search.js")


def relinked(text: str, source: str, page: str) -> str:
    """Write a text's links as they are in the site.

    >>> relinked("[a](../notebooks/01_a.ipynb), [b](hubs.md#b), [c](../benchmarks/c.toml)", "docs/x.md", "x.md")
    '[a](notebooks/01_a.md), [b](hubs.md#b), [c](files/benchmarks/c.toml)'
    """
    above = Path(source).parent.as_posix()

    def place(link: re.Match[str]) -> str:
        target = site_path(normpath(f"{above}/{link[1]}"))
        return relpath(target, Path(page).parent.as_posix())

    return LINK.sub(place, text)


def site_path(path: str) -> str:
    """Where a file of the repository stands in the site; both paths from the root."""
    if path in PAGES:
        return PAGES[path]
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    if path.startswith("notebooks/"):
        return re.sub(r"\.ipynb$", ".md", path)
    return f"files/{path}"


def notebook_page(notebook: Mapping[str, Any], name: str) -> tuple[str, dict[str, str]]:
    """Write a notebook as Markdown; gives its pictures beside it, by file name."""
    parts: list[str] = []
    pictures: dict[str, str] = {}
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        parts.append(source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```")
        for output in cell.get("outputs", ()):
            data = output.get("data", {})
            if "image/svg+xml" in data:
                picture = f"{name}-{len(pictures) + 1}.svg"
                pictures[picture] = "".join(data["image/svg+xml"])
                parts.append(f"![What this cell draws]({picture})")
            elif "text/html" in data:
                parts.append(_table("".join(data["text/html"])))
            else:
                parts.append(f"```text\n{''.join(data.get('text/plain', output.get('text', ''))).rstrip()}\n```")
    return "\n\n".join(parts) + "\n", pictures


def _table(html: str) -> str:
    """The table alone, without the style and the line of types that polars gives it."""
    table = html[html.index("<table") : html.index("</table>") + len("</table>")]
    table = re.sub("<table[^>]*>", "<table>", table)
    return re.sub(r"(?<=</tr>)<tr>(<td>[^<]*</td>)+</tr>(?=</thead>)", "", table).replace("&quot;", "")


def _page(config: MkDocsConfig, page: str, text: str, source: str) -> File:
    return File.generated(config, page, content=relinked(text, source, page))


def _outside(page: str, text: str) -> set[str]:
    """Files of the repository that a page of docs/ links to and that are no pages."""
    targets = {normpath(f"{Path('docs', page).parent.as_posix()}/{link[1]}") for link in LINK.finditer(text)}
    return {target for target in targets if site_path(target).startswith("files/") and (ROOT / target).is_file()}
