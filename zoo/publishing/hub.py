"""The one module of the zoo that touches the network: datasets and repositories on the Hugging Face Hub.

It goes through huggingface_hub's own client, which finds the endpoint, the token and the proxy, tries again, and splits
and resumes uploads. What it downloads is checked by those who asked for it.
"""

import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import cached_property
from glob import escape
from pathlib import Path
from typing import TypeVar

import duckdb
import httpx2
from huggingface_hub import (
    CommitOperationDelete,
    HfApi,
    RepoFile,
    constants,
    get_hf_file_metadata,
    hf_hub_download,
    hf_hub_url,
    try_to_load_from_cache,
)
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    LocalTokenNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import (  # type: ignore[attr-defined]  # its lazy exports hide from mypy
    are_progress_bars_disabled,
    build_hf_headers,
    disable_progress_bars,
    enable_progress_bars,
    http_backoff,
)

from schemas.errors import HubError, UsageError
from zoo.publishing.address import OnHub
from zoo.publishing.commits import MOST_FILES, portions
from zoo.publishing.folder import CARD_FILE, OF_OURS, is_published
from zoo.publishing.ranged import SCHEME, RangedFiles
from zoo.publishing.ranges import Range, joined

REQUESTS_AT_ONCE = 8
KIND = "dataset"
THE_HUB = "https://huggingface.co"
GONE = (403, 404, 410)
"""What a store says of an address that has expired."""

T = TypeVar("T")


class HubSource:
    """A published dataset on the hub, at the commit that it has when it is opened."""

    def __init__(self, address: OnHub, endpoint: str | None = None) -> None:
        self.address = address
        self._endpoint = endpoint_or_default(endpoint)
        with explained(str(address)):
            info = HfApi(self._endpoint).dataset_info(address.repository, revision=address.revision)
        self.revision = str(info.sha)
        self._addresses: dict[str, str] = {}

    @property
    def name(self) -> str:
        """The address."""
        return str(self.address)

    @cached_property
    def sizes(self) -> Mapping[str, int]:
        """Bytes of every file, by its path."""
        with explained(self.name):
            tree = HfApi(self._endpoint).list_repo_tree(
                self.address.repository, recursive=True, revision=self.revision, repo_type=KIND
            )
            return {each.path: each.size for each in tree if isinstance(each, RepoFile)}

    def attach(self, opened: duckdb.DuckDBPyConnection, paths: Sequence[str]) -> list[str]:
        """Files in the cache of huggingface_hub are read from there; of others DuckDB gets the bytes that it needs."""
        self._files.error = None
        with suppress(duckdb.InvalidInputException):  # it is registered
            opened.register_filesystem(self._files)
        opened.execute("SET disable_parquet_prefetching = true")  # which would read more than is needed
        return [self._cached(path) or f"{SCHEME}://{path}" for path in paths]

    def complain(self) -> None:
        """Raise what the hub has refused while DuckDB was reading."""
        if self._files.error is not None:
            raise self._files.error

    @cached_property
    def _files(self) -> RangedFiles:
        return RangedFiles(self.sizes, lambda path, asked: b"".join(self.read(path, joined([asked]))))

    def _cached(self, path: str) -> str | None:
        found = try_to_load_from_cache(self.address.repository, path, revision=self.revision, repo_type=KIND)
        return found if isinstance(found, str) else None

    def read(self, path: str, ranges: Sequence[Range]) -> Iterator[bytes]:
        """Fetch ranges of a file, several at a time; each is as long as it should be."""
        with ThreadPoolExecutor(REQUESTS_AT_ONCE) as pool:
            for first in range(0, len(ranges), REQUESTS_AT_ONCE):  # so that no more than these are in memory
                yield from pool.map(lambda each: self._range(path, each), ranges[first : first + REQUESTS_AT_ONCE])

    def _range(self, path: str, asked: Range) -> bytes:
        with explained(self.name):
            response = self._get(self._location(path), asked)
            if response.status_code in GONE:
                self._addresses.pop(path, None)
                response = self._get(self._location(path), asked)
            if response.status_code not in (200, 206):
                response.raise_for_status()
        return checked(f"{self.name}/{path}", response, asked)

    def _get(self, url: str, asked: Range) -> httpx2.Response:
        headers = {"range": f"bytes={asked[0]}-{asked[1] - 1}", "accept-encoding": "identity"}
        if url.startswith(f"{self._endpoint}/"):
            headers |= build_hf_headers()
        response: httpx2.Response = http_backoff("GET", url, headers=headers, follow_redirects=True)
        return response

    def _location(self, path: str) -> str:
        """Where a file's bytes lie, which is asked for once a file: the hub counts those questions."""
        if path not in self._addresses:
            url = hf_hub_url(
                self.address.repository, path, repo_type=KIND, revision=self.revision, endpoint=self._endpoint
            )
            self._addresses[path] = get_hf_file_metadata(url, endpoint=self._endpoint, retry_on_errors=True).location
        return self._addresses[path]


def upload(
    folder: Path,
    repository: str,
    files: Collection[str],
    kind: str,
    *,
    private: bool = False,
    endpoint: str | None = None,
) -> str:
    """Upload files of a folder into a repository, which is made if it is not there; gives its address.

    It goes up in commits of less than a hundred files, by huggingface_hub's own upload of folders. What is on the hub
    already, committed or not, is not sent again: an upload that was interrupted goes on when it is started again.
    Tables and shards of an earlier publication that are no more are deleted at the end.

    Raises:
        UsageError: The repository holds what weightlake has not published.
        HubError: The hub cannot be reached or refuses.
    """
    address = f"hf:{repository}"
    api = HfApi(endpoint_or_default(endpoint))
    with explained(address, writing=True), _silently():
        url = api.create_repo(repository, repo_type=kind, private=private, exist_ok=True)
        there = set(api.list_repo_files(repository, repo_type=kind))
        _check_ours(api, repository, kind, there, address)
        with _as_the_hub_stores(api, repository, kind):
            for number, portion in enumerate(portions(files), start=1):
                api.upload_folder(
                    repo_id=repository,
                    folder_path=folder,
                    repo_type=kind,
                    allow_patterns=[escape(path) for path in portion],
                    commit_message=f"Publish with weightlake, part {number}",
                )
        stale = sorted(path for path in there - set(files) if "/" in path and Path(path).suffix in OF_OURS)
        for part in (stale[first : first + MOST_FILES] for first in range(0, len(stale), MOST_FILES)):
            deleted = [CommitOperationDelete(path) for path in part]
            api.create_commit(repository, deleted, commit_message="Take away what is published no more", repo_type=kind)
    return str(url)


def _check_ours(api: HfApi, repository: str, kind: str, there: Collection[str], address: str) -> None:
    """Raise UsageError for a repository with things of others in it."""
    if all("/" in path and Path(path).suffix in OF_OURS for path in set(there) - {".gitattributes"}):
        return
    if CARD_FILE in there:
        card = Path(hf_hub_download(repository, CARD_FILE, repo_type=kind, endpoint=api.endpoint))
        if is_published(card.parent):
            return
    raise UsageError(f"{address} has other things in it; name a new repository, or one that was published to before")


@contextmanager
def _as_the_hub_stores(api: HfApi, repository: str, kind: str) -> Iterator[None]:
    """Let the client send large files by Git LFS to a hub without Xet, which it would not find out."""
    address = f"{api.endpoint}/api/{kind}s/{repository}/xet-write-token/main"
    if constants.HF_HUB_DISABLE_XET or api.endpoint == THE_HUB:
        yield
        return
    constants.HF_HUB_DISABLE_XET = http_backoff("GET", address, headers=build_hf_headers()).status_code == 404
    try:
        yield
    finally:
        constants.HF_HUB_DISABLE_XET = False


@contextmanager
def _silently() -> Iterator[None]:
    """Without the client's own progress bars, which would write across ours."""
    if are_progress_bars_disabled():
        yield
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()


def endpoint_or_default(endpoint: str | None) -> str:
    """The hub's address: a given one, that of HF_ENDPOINT, or huggingface_hub's own."""
    return (endpoint or os.environ.get("HF_ENDPOINT") or constants.ENDPOINT).rstrip("/")


def checked(name: str, response: httpx2.Response, asked: Range) -> bytes:
    """The bytes of a range, from an answer that holds it and nothing else."""
    begin, end = asked
    given = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", response.headers.get("content-range", ""))
    content = response.content
    if response.status_code == 200:
        content = content[begin:end]
    elif given is None or (int(given[1]), int(given[2])) != (begin, end - 1):
        raise HubError(f"{name}: asked for the bytes {begin} to {end}, the hub sends others")
    if len(content) != end - begin:
        raise HubError(f"{name}: asked for the bytes {begin} to {end}, the hub sends {len(content)}")
    return content


@contextmanager
def explained(name: str, writing: bool = False) -> Iterator[None]:
    """Turn the client's exceptions into one sentence that says what to do."""
    try:
        yield
    except LocalTokenNotFoundError as error:
        raise HubError(f"{name} cannot be written without a token; set HF_TOKEN to one that may write") from error
    except GatedRepoError as error:
        raise HubError(f"{name} is gated; ask for access on its page, then set HF_TOKEN") from error
    except RevisionNotFoundError as error:
        raise UsageError(f"{name} has no such revision; leave it out for the newest") from error
    except RepositoryNotFoundError as error:
        raise HubError(f"{name} does not exist, or is private; check its name, or set HF_TOKEN") from error
    except (OfflineModeIsEnabled, LocalEntryNotFoundError) as error:
        raise HubError(f"{name} is not on this machine and the hub cannot be reached: {_line(error)}") from error
    except HfHubHTTPError as error:
        if writing and error.response.status_code in (401, 403):
            raise HubError(f"{name} cannot be written: set HF_TOKEN to a token that may write to it") from error
        raise HubError(f"{name}: the hub answers {error.response.status_code}: {_line(error)}") from error
    except httpx2.HTTPError as error:
        raise HubError(f"{name}: the hub cannot be reached: {_line(error)}") from error
    except (RuntimeError, ValueError) as error:  # how the client says that an upload failed, or a card is refused
        if not writing:
            raise
        raise HubError(f"{name} cannot be written: {_line(error)}; the same command goes on from here") from error


def _line(error: Exception) -> str:
    """The first line of a message, without what could steer a terminal."""
    text = (str(error).strip() or type(error).__name__).splitlines()[0]
    return "".join(character for character in text if character.isprintable())[:300]
