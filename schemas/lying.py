"""What a lake's folder holds beside its tables: rows without their files, and files without rows."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from schemas.errors import DataError, UsageError
from schemas.files import unfinished
from schemas.ghosts import BEGUN
from schemas.lake import Lake
from schemas.reading import Reading

SHARDS = """
SELECT shard, shard_sha256, count(DISTINCT model_id) AS models, min(row) AS first, max(row) AS last,
    arg_min(model_id, row) AS first_id, arg_max(model_id, row) AS last_id,
    any_value(model_id) FILTER (row IS NULL) AS lost
FROM checkpoint WHERE shard IS NOT NULL GROUP BY shard, shard_sha256 ORDER BY shard, shard_sha256
"""
HOMES = "SELECT model_id, location FROM model WHERE location IS NOT NULL AND hub = 'made' AND deleted_at IS NULL"
NAMED = "SELECT DISTINCT model_id, path FROM tensor WHERE model_id IN (SELECT unnest($ids)) ORDER BY ALL"
OF_A_BUILD = (BEGUN, "build.plan", "build.lock")
OF_A_GROUP = (".json", ".state", ".progress", ".failure")
"""Endings of what a build writes beside its shards."""
STITCHING = "made/stitch"
"""Folder of the weight store for what stitchable networks are made of."""
OF_A_STITCHING = ".progress.safetensors"
"""Ending of what a training of such a network that was killed goes on from."""
MARK = ".mark"
"""Ending of the note beside a downloaded snapshot."""
LOCK = "lock-"
PUBLISHED = "published"
"""Folder of a lake for what is on its way to a hub; what is there whole is deleted."""

AGAIN = "build, import or make that model again"
Problem = tuple[str, str, str]


@dataclass(frozen=True)
class Held:
    """What the tables say of a shard of the weight store."""

    shard: str
    sha256: str
    models: int
    """How many models' weights it holds."""
    first: int | None
    last: int | None
    """The least and the greatest row."""
    first_id: str | None
    last_id: str | None
    """A model of each of them."""
    lost: str | None
    """A model of no row."""

    def outside(self, members: int) -> tuple[str, str] | None:
        """A model whose row is none of a shard's, and that row; None where all are."""
        if self.lost is not None:
            return self.lost, "no row"
        if self.first is not None and self.first < 0:
            return str(self.first_id), f"row {self.first}"
        return (str(self.last_id), f"row {self.last}") if self.last is not None and self.last >= members else None


@dataclass(frozen=True)
class Named:
    """What the tables say that lies in files."""

    shards: list[Held]
    homes: dict[Path, set[str]]
    """Folder of each merge -> the files in it that its tensors lie in."""
    crawls: set[str]


def named(tables: Reading) -> Named:
    """Ask the tables what lies in files."""
    homes = {model_id: Path(location).resolve() for model_id, location in tables.sql(HOMES).iter_rows()}
    found: dict[Path, set[str]] = {home: set() for home in homes.values()}
    for model_id, path in tables.sql(NAMED, ids=list(homes)).iter_rows():
        found[homes[model_id]].add(path)
    shards = [Held(*row) for row in tables.sql(SHARDS).iter_rows()]
    return Named(shards, found, set(tables.sql("SELECT crawl_id FROM crawl")["crawl_id"]))


def rows_without_files(lake: Lake, named: Named, whole: bool) -> Iterator[Problem]:
    """Shards and files of merges that tables name and that are missing, damaged, or hold not what tables say.

    Of each shard the header is read; all of it, and compared with its SHA-256, if `whole`.
    """
    for held in named.shards:
        weights = "the weights of 1 model" if held.models == 1 else f"weights of {held.models:,} models"
        try:
            if not lake.weights.path(held.shard).exists():
                yield "weights", f"missing, with {weights}; put it back, or build or make them again", held.shard
                continue
            if whole:
                lake.weights.verify(held.shard, held.sha256)
            members = lake.weights.members(held.shard)
        except (DataError, UsageError) as error:
            yield "weights", f"{error}; delete it, then build or make again what it held", held.shard
            continue
        if found := held.outside(members):
            model_id, row = found
            problem = f"a checkpoint is said to be {row} of {held.shard}, which has rows 0 to {members - 1}; {AGAIN}"
            yield "weights", problem, model_id
    for path in sorted(home / name for home, names in named.homes.items() for name in names):
        if not path.is_file():
            yield "weights", "missing, with tensors of a merged model; make the merge again", str(path)


def files_without_rows(lake: Lake, named: Named) -> Iterator[Problem]:
    """Files of the lake's folders that belong to nothing in the tables, a problem a folder."""
    half = [*unfinished(lake.weights.folder), *unfinished(lake.raw)]
    for left in half:
        yield "files", "left by a writer that was killed or is still at it; if nothing runs, delete it", str(left)
    for folder in sorted((lake.path / PUBLISHED).glob("*")):
        problem = (
            "of an upload that was ended or still runs; publish the same again, which sends the rest, or delete it"
        )
        yield "files", problem, folder.relative_to(lake.path).as_posix()
    hidden = set(half)
    kinds = {
        ("weights", "a shard that no checkpoint names; the build that wrote it may not have been finished"): (
            _stray_shards(lake, named, hidden),
            lake.weights.folder,
        ),
        ("files", "belongs to nothing in the lake; move it elsewhere or delete it"): (
            _stray_others(lake, named, hidden),
            lake.weights.folder,
        ),
        ("files", "raw answers of no crawl in the lake; move them elsewhere or delete them"): (
            _stray_answers(lake, named, hidden),
            lake.raw,
        ),
    }
    for (check, problem), (strays, root) in kinds.items():
        yield from _by_folder(check, problem, strays, root)


def _by_folder(check: str, problem: str, strays: list[Path], root: Path) -> Iterator[Problem]:
    folders: dict[Path, list[Path]] = {}
    for path in strays:
        folders.setdefault(path.parent, []).append(path)
    for paths in folders.values():
        more = f" (and {len(paths) - 1:,} beside it)" if len(paths) > 1 else ""
        yield check, problem + more, paths[0].relative_to(root).as_posix()


def _files(folder: Path, hidden: set[Path]) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if path not in hidden and not hidden & set(path.parents) and not path.is_dir():
            yield path


def _stray_shards(lake: Lake, named: Named, hidden: set[Path]) -> list[Path]:
    folder, homes = lake.weights.folder, named.homes
    known = {folder / held.shard for held in named.shards}
    known |= {home / name for home, names in homes.items() for name in names}
    bare = {home for home, names in homes.items() if not names}  # nothing is said of what lies in them
    shards = [path for path in _files(folder, hidden) if path.suffix == ".safetensors" and path not in known]
    shards = [path for path in shards if not _goes_on(path, folder, known)]
    return [path for path in shards if path.resolve() not in known and path.resolve().parent not in bare]


def _stray_others(lake: Lake, named: Named, hidden: set[Path]) -> list[Path]:
    """What is no shard, and what neither a build writes into its folder nor a merge into its own."""
    folder, homes = lake.weights.folder, set(named.homes)
    begun = {path.parent for path in folder.glob(f"*/{BEGUN}")}
    others = (path for path in _files(folder, hidden) if path.suffix != ".safetensors")
    kept = (path for path in others if not (path.parent in begun and _is_of_a_build(path)))
    return [path for path in kept if not homes & set(path.resolve().parents)]


def _goes_on(path: Path, folder: Path, known: set[Path]) -> bool:
    """Whether a training of a stitchable network that is not finished goes on from this file."""
    of_one = path.parent == folder / STITCHING and path.name.endswith(OF_A_STITCHING)
    return of_one and path.with_name(path.name.removesuffix(OF_A_STITCHING) + ".safetensors") not in known


def _is_of_a_build(path: Path) -> bool:
    return path.name in OF_A_BUILD or path.suffix in OF_A_GROUP


def _stray_answers(lake: Lake, named: Named, hidden: set[Path]) -> list[Path]:
    return [path for path in _files(lake.raw, hidden) if not _belongs(path, lake.raw, named.crawls)]


def _belongs(path: Path, raw: Path, crawls: set[str]) -> bool:
    """Whether a file is of a crawl (raw/<hub>/<crawl_id>/...), its lock, or a snapshot that was downloaded."""
    parts = path.relative_to(raw).parts
    if len(parts) == 2:
        return parts[1].removeprefix(LOCK) in crawls
    marked = path.name.endswith(MARK) or path.with_name(f".{path.name}{MARK}").exists()
    return len(parts) > 2 and (parts[1] in crawls or marked)
