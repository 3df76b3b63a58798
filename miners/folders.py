"""Finds model repositories in a folder, and their files, without following links out of them."""

import os
import stat
from collections.abc import Callable, Container, Iterator
from pathlib import Path
from typing import NamedTuple

from miners.headers.reading import READERS
from miners.listed_files import FormatByPath
from miners.targets import CARD
from miners.weight_files import is_part, matters
from schemas.errors import UsageError

CACHED = "models--"
CONFIGS = ("config.json", "model_index.json")
MOST_LOOKED_INTO = 1_000  # folders below one that has no model
NOT_THEIRS = {".git", ".cache"}  # version control and download notes inside of a repository's folder


class Repository(NamedTuple):
    """A folder with a model, or a file that is one. Links may lead to anywhere inside of `root`."""

    name: str  # owner/name
    place: Path
    root: Path
    sha: str | None

    @property
    def folder(self) -> Path:
        """The folder that the paths of its files start from."""
        return self.place.parent if self.place.is_file() else self.place


class Entry(NamedTuple):
    """A file of a repository; `problem` says why it cannot be used."""

    path: str
    place: Path
    size: int
    modified: float
    problem: str | None = None


class Found(NamedTuple):
    """What a folder holds; `unreadable` names folders in it of which there is no model here, and why."""

    repositories: list[Repository]
    unreadable: dict[Path, str]


def repositories(folder: Path) -> Found:
    """Give the repositories in a folder: `owner/name/` or `name/` folders, the folder itself, or a Hugging Face cache.

    In a folder of bare checkpoints, several files of weights that nothing describes, each is one; and a file of weights
    may be given instead of a folder.

    Raises UsageError if the folder does not exist or holds no model.
    """
    if folder.is_file() and matters(folder.name):
        return Found([_checkpoint(folder.parent.resolve() / folder.name)], {})
    if not folder.exists():
        raise UsageError(f"{folder} does not exist; name a folder with models in it, or a file of weights")
    if not folder.is_dir():
        endings = ", ".join(f".{ending}" for ending in READERS)
        raise UsageError(f"{folder} is no file of weights: expected one that ends in {endings}; or name a folder")
    place = folder.resolve()
    search = _Search()
    if cached := search.cached(place) or search.cached(place / "hub"):
        return Found(cached, search.unreadable)
    found = list(search.plain(place))
    if not found:  # arrays are mostly data: only where there is nothing else they are checkpoints
        found = list(_Search(matters).plain(place))
    search.note_what_lies_deeper(place, found)
    if not found:
        hidden = "; ".join(f"{place}: {reason}" for place, reason in search.unreadable.items())
        raise UsageError(
            f"{folder} holds no model: expected folders owner/name with config.json, README.md or weights in them, "
            "one such folder, or a Hugging Face cache" + (f" ({hidden})" if hidden else "")
        )
    return Found(found, search.unreadable)


def is_described(names: Container[str]) -> bool:
    """Whether a folder with files of these names says what it is."""
    return any(name in names for name in (CARD, *CONFIGS))


def _is_stored_as_model(name: str) -> bool:
    return name in CONFIGS or FormatByPath()[name] is not None


class _Search:
    """Looks for repositories, and remembers which folders it could not look into.

    A folder in which there is a file for whose name `shows_model` holds has a model.
    """

    def __init__(self, shows_model: Callable[[str], bool] = _is_stored_as_model) -> None:
        self.unreadable: dict[Path, str] = {}
        self._shows_model = shows_model
        self._seen: dict[Path, list[os.DirEntry[str]]] = {}

    def cached(self, folder: Path) -> list[Repository]:
        places = [folder] if folder.name.startswith(CACHED) else self._folders(folder)
        found = (self._snapshot(place) for place in places if place.name.startswith(CACHED))
        return [repository for repository in found if repository]

    def plain(self, folder: Path) -> Iterator[Repository]:
        """Give the folder itself, or the models in it: loose checkpoints, `name/` and `owner/name/` folders."""
        itself = Repository(f"{folder.parent.name}/{folder.name}".lstrip("/"), folder, folder, None)
        if self._is_one_model(folder):
            yield itself
            return
        loose = self._loose(folder)
        children = [found for child in self._folders(folder) for found in self._child(child)]
        if not loose and not children and self._has_card(folder):
            yield itself
        yield from loose
        yield from children

    def note_what_lies_deeper(self, folder: Path, found: list[Repository]) -> None:
        """Remember the folders in which there is no repository, though there are weights somewhere below."""
        with_one = {parent for one in found for parent in (one.place, *one.place.parents)}
        if folder in {one.place for one in found}:
            return
        for child in self._folders(folder):
            hidden = [child] if child not in with_one else self._folders(child) if not self._has_model(child) else []
            for place in hidden:
                if place not in with_one and (deep := self._first_weights(place)):
                    self.unreadable[place] = f"{deep} lies deeper than owner/name: mine {deep.parent.parent}"

    def _first_weights(self, folder: Path) -> Path | None:
        for number, (parent, folders, files) in enumerate(os.walk(folder)):
            folders[:] = sorted(set(folders) - NOT_THEIRS)
            weights = [name for name in sorted(files) if _is_stored_as_model(name) and name not in CONFIGS]
            if weights or number > MOST_LOOKED_INTO:
                return Path(parent) / weights[0] if weights else None
        return None

    def _snapshot(self, place: Path) -> Repository | None:
        """Give the snapshot of a cached model that `main` points to, or else the newest one."""
        snapshots = {snapshot.name: snapshot for snapshot in self._folders(place / "snapshots")}
        if not snapshots:
            return None
        try:
            sha = (place / "refs" / "main").read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError):
            sha = ""
        if sha not in snapshots:
            sha = max(snapshots, key=lambda name: snapshots[name].stat().st_mtime)
        return Repository(place.name.removeprefix(CACHED).replace("--", "/", 1), snapshots[sha], place, sha)

    def _child(self, folder: Path) -> list[Repository]:
        loose = self._loose(folder)
        if self._has_model(folder) and not loose:
            return [Repository(folder.name, folder, folder, None)]
        below = [child for child in self._folders(folder) if self._has_model(child) or self._has_card(child)]
        if not below and not loose and self._has_card(folder):
            return [Repository(folder.name, folder, folder, None)]
        return loose + [found for child in below for found in self._grandchild(child)]

    def _grandchild(self, folder: Path) -> list[Repository]:
        itself = Repository(f"{folder.parent.name}/{folder.name}", folder, folder, None)
        return self._loose(folder) or [itself]

    def _loose(self, folder: Path) -> list[Repository]:
        """Give the files of weights in a folder, where they are several models and not the parts of one.

        A single one is a model of its own where there are other models below.
        """
        names = self._bare(folder)
        if len(names) == 1 and not any(
            self._is_described(child) or len(self._bare(child)) > 1 for child in self._folders(folder)
        ):
            return []
        return [_checkpoint(folder / name) for name in names]

    def _bare(self, folder: Path) -> list[str]:
        """Give the names of the weights in a folder that nothing describes, none where they belong together."""
        weights = sorted(name for name in self._files(folder) if matters(name))
        belong_together = self._is_described(folder) or any(map(is_part, weights))
        return weights if self._has_model(folder) and not belong_together else []

    def _is_described(self, folder: Path) -> bool:
        return is_described(self._files(folder))

    def _is_one_model(self, folder: Path) -> bool:
        """Weights alone make no model of a folder that has repositories in it."""
        if not self._has_model(folder) or self._is_described(folder):
            return self._has_model(folder)
        return not self._loose(folder) and not any(map(self._is_or_has_repository, self._folders(folder)))

    def _is_or_has_repository(self, folder: Path) -> bool:
        below = self._folders(folder)
        return self._is_described(folder) or any(self._has_model(child) or self._has_card(child) for child in below)

    def _has_model(self, folder: Path) -> bool:
        return any(map(self._shows_model, self._files(folder)))

    def _has_card(self, folder: Path) -> bool:
        return CARD in self._files(folder)

    def _folders(self, folder: Path) -> list[Path]:
        """Give the folders in a folder by name, no links."""
        return sorted(Path(entry) for entry in self._listed(folder) if entry.is_dir(follow_symlinks=False))

    def _files(self, folder: Path) -> list[str]:
        return [entry.name for entry in self._listed(folder) if _is_file(entry)]

    def _listed(self, folder: Path) -> list[os.DirEntry[str]]:
        if folder not in self._seen:
            try:
                with os.scandir(folder) as found:
                    self._seen[folder] = list(found)
            except (FileNotFoundError, NotADirectoryError):
                self._seen[folder] = []
            except OSError as error:
                self.unreadable[folder] = f"the folder cannot be read: {error.strerror or error}"
                self._seen[folder] = []
        return self._seen[folder]


def _checkpoint(place: Path) -> Repository:
    return Repository(f"{place.parent.name}/{place.name}".lstrip("/"), place, place.parent, None)


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:  # a link in a circle, or into a folder that is closed
        return False


def entries(repository: Repository) -> Iterator[Entry]:
    """Give every file of a repository, and with a problem what looks like one but cannot be read as one."""
    if repository.folder != repository.place:
        yield _entry(repository, repository.place)
        return
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
    return readable(place.relative_to(repository.folder).as_posix())


def readable(name: str) -> str:
    """Give a file's name as text that can be stored; bytes that are not UTF-8 become U+FFFD."""
    return os.fsencode(name).decode("utf-8", errors="replace")
