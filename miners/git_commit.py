"""The commit that a git checkout is at, read from git's own files without git.

Only plain files are read, only their first bytes, and only those that lie in the repository's folder after all links
are followed. Where `.git` is a file, as in a worktree, the folder that it names must name that file in turn.
(https://git-scm.com/docs/gitrepository-layout)
"""

import re
from collections.abc import Iterator
from pathlib import Path

COMMIT = re.compile(r"[0-9a-f]{40}")
LONGEST_FILE = 4096  # bytes of a file of one line
MOST_PACKED = 64 * 2**20  # bytes of packed-refs
LONGEST_LINE = 1024


def checked_out(folder: Path) -> str | None:
    """Give the commit that the checkout in `folder` is at; None where that is none, or says nothing plain."""
    try:
        return _commit(folder.resolve())
    except (OSError, ValueError, RuntimeError):  # also a path with NUL in it, or links in a circle
        return None


def _commit(folder: Path) -> str | None:
    own = folder / ".git"
    if own.is_symlink():
        return None
    if own.is_file():
        own = _worktree(own)
    head = _line(own / "HEAD", own)
    if not head.startswith("ref: refs/"):
        return head if COMMIT.fullmatch(head) else None
    name = head.removeprefix("ref: ")
    common = own / _line(own / "commondir", own) if (own / "commondir").is_file() else own
    common = common.resolve()
    if ".." in name or common not in (own, own.parent.parent):
        return None
    loose = _line(common / name, common) if (common / name).is_file() else ""
    found = loose or _packed(common / "packed-refs", common, name)
    return found if COMMIT.fullmatch(found) else None


def _worktree(link: Path) -> Path:
    """Give the folder that a `.git` file names; ValueError if that does not name the file in turn."""
    said = _line(link, link.parent)
    if not said.startswith("gitdir: "):
        raise ValueError("no path")
    own = (link.parent / said.removeprefix("gitdir: ")).resolve()
    if (own / _line(own / "gitdir", own)).resolve() != link:
        raise ValueError("a folder of another checkout")
    return own


def _line(place: Path, within: Path) -> str:
    with _plain(place, within).open("rb") as opened:
        return opened.read(LONGEST_FILE).decode("utf-8").strip()


def _plain(place: Path, within: Path) -> Path:
    resolved = place.resolve(strict=True)
    if not resolved.is_relative_to(within) or not resolved.is_file():
        raise ValueError("not a file of the repository")
    return resolved


def _packed(place: Path, within: Path, name: str) -> str:
    """Give the commit of a reference that `git pack-refs` has put among others; empty if it is not there."""
    for line in _lines(_plain(place, within)):
        commit, _, packed = line.rstrip(b"\n").partition(b" ")
        if packed == name.encode():
            return commit.decode()
    return ""


def _lines(place: Path) -> Iterator[bytes]:
    with place.open("rb") as opened:
        while (line := opened.readline(LONGEST_LINE)) and opened.tell() <= MOST_PACKED:
            yield line
