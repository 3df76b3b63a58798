"""Finds model repositories in a folder, and their files, without following links out of them."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from miners.records import FormatByPath
from miners.targets import CARD
from schemas.errors import UsageError

CACHED = "models--"
CONFIGS = ("config.json", "model_index.json")
NOT_THEIRS = {".git", ".cache"}  # version control and download notes inside of a repository's folder


class Repository(NamedTuple):
    """A folder with a model. Links may lead to anywhere inside of `root`."""

    name: str  # owner/name
    place: Path
    root: Path
    sha: str | None


class Entry(NamedTuple):
    """A file of a repository; `problem` says why it cannot be used."""

    path: str
    place: Path
    size: int
    modified: float
    problem: str | None = None


def repositories(folder: Path) -> list[Repository]:
    """Give the repositories in a folder: `owner/name/` or `name/` folders, the folder itself, or a Hugging Face cache.

    Raises UsageError if the folder does not exist or holds no model.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder} is no folder; name a folder with model repositories in it")
    place = folder.resolve()
    found = list(_cached(place) or _cached(place / "hub") or _plain(place))
    if not found:
        raise UsageError(
            f"{folder} holds no model: expected folders owner/name with config.json, README.md or weights in them, "
            "one such folder, or a Hugging Face cache"
        )
    return found


def _cached(folder: Path) -> list[Repository]:
    places = [folder] if folder.name.startswith(CACHED) else _folders(folder)
    found = (_snapshot(place) for place in places if place.name.startswith(CACHED))
    return [repository for repository in found if repository]


def _snapshot(place: Path) -> Repository | None:
    """Give the snapshot of a cached model that `main` points to, or else the newest one."""
    snapshots = {snapshot.name: snapshot for snapshot in _folders(place / "snapshots")}
    if not snapshots:
        return None
    try:
        sha = (place / "refs" / "main").read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        sha = ""
    if sha not in snapshots:
        sha = max(snapshots, key=lambda name: snapshots[name].stat().st_mtime)
    return Repository(place.name.removeprefix(CACHED).replace("--", "/", 1), snapshots[sha], place, sha)


def _plain(folder: Path) -> Iterator[Repository]:
    """Give the folder itself, its `name/` folders or its `owner/name/` folders, whichever are repositories."""
    if _has_model(folder):
        yield Repository(f"{folder.parent.name}/{folder.name}".lstrip("/"), folder, folder, None)
        return
    children = [found for child in _folders(folder) for found in _child(child)]
    if not children and _has_card(folder):
        yield Repository(f"{folder.parent.name}/{folder.name}".lstrip("/"), folder, folder, None)
    yield from children


def _child(folder: Path) -> list[Repository]:
    if _has_model(folder):
        return [Repository(folder.name, folder, folder, None)]
    below = [child for child in _folders(folder) if _has_model(child) or _has_card(child)]
    if not below and _has_card(folder):
        return [Repository(folder.name, folder, folder, None)]
    return [Repository(f"{folder.name}/{child.name}", child, child, None) for child in below]


def _folders(folder: Path) -> list[Path]:
    """Give the folders in a folder by name, no links and none that cannot be read."""
    try:
        return sorted(child for child in folder.iterdir() if child.is_dir() and not child.is_symlink())
    except OSError:
        return []


def _has_model(folder: Path) -> bool:
    formats = FormatByPath()
    return any(name in CONFIGS or formats[name] for name in _files(folder))


def _has_card(folder: Path) -> bool:
    return CARD in _files(folder)


def _files(folder: Path) -> list[str]:
    try:
        return [child.name for child in folder.iterdir() if child.is_file()]
    except OSError:
        return []


def entries(repository: Repository) -> Iterator[Entry]:
    """Give every file of a repository, and with a problem what looks like one but cannot be read as one."""
    for parent, folders, files in os.walk(repository.place):
        here = Path(parent)
        links = [name for name in folders if (here / name).is_symlink()]
        folders[:] = sorted(set(folders) - set(links) - NOT_THEIRS)
        for name in sorted(links):
            yield _problem(repository, here / name, "a link to a folder is not followed")
        for name in sorted(files):
            yield _entry(repository, here / name)


def _entry(repository: Repository, place: Path) -> Entry:
    try:
        if place.is_symlink() and not place.resolve(strict=True).is_relative_to(repository.root):
            return _problem(repository, place, "a link that leads out of the repository is not followed")
        state = place.stat()
    except (OSError, RuntimeError) as error:
        return _problem(repository, place, f"cannot be read: {getattr(error, 'strerror', None) or error}")
    if not stat.S_ISREG(state.st_mode):
        return _problem(repository, place, "is no regular file")
    return Entry(_shown(repository, place), place, state.st_size, state.st_mtime)


def _problem(repository: Repository, place: Path, problem: str) -> Entry:
    return Entry(_shown(repository, place), place, 0, 0.0, problem)


def _shown(repository: Repository, place: Path) -> str:
    return readable(place.relative_to(repository.place).as_posix())


def readable(name: str) -> str:
    """Give a file's name as text that can be stored; bytes that are not UTF-8 become U+FFFD."""
    return os.fsencode(name).decode("utf-8", errors="replace")
