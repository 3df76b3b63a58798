"""What the test hub answers to a well-behaved request: listing, model, tree, files and their redirects."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, quote, urlencode

from tests.hub.catalogue import BadQuery, Catalogue, Record, cursor, page_size, position, shown, truth
from tests.hub.messages import Reply, Request, as_json, refusal
from tests.hub.repositories import Repositories, StoredFile

TREE_PAGE, COMMITS_PAGE, DISCUSSIONS_PAGE = 1000, 50, 10
PUBLIC_FILES = {"README.md", ".gitattributes"}  # of a gated repository, anybody may read these


@dataclass(frozen=True)
class Histories:
    """Commits and discussions by model, newest first, as the API gives them; other models have one commit."""

    commits: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    discussions: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)


def first_commit(sha: str) -> Mapping[str, Any]:
    """The only commit of a model whose history nobody gave."""
    said = {"title": "initial commit", "message": "", "authors": [{"user": "system"}]}
    return {"id": sha, "date": "2024-01-01T00:00:00.000Z", **said}


@dataclass(frozen=True)
class Site:
    """Everything that a hub knows, and where it stands."""

    catalogue: Catalogue
    repositories: Repositories
    url: str
    blob_url: str  # where large files lie
    token: str | None  # whoever brings it is logged in and may read private models
    granted: frozenset[str]  # gated models that the token may read
    histories: Histories

    def answer(self, request: Request) -> Reply:
        """The answer to a request."""
        try:
            return self._route(request)
        except BadQuery as error:
            return refusal(400, "BadRequest", str(error))

    def _route(self, request: Request) -> Reply:
        segments = request.segments
        if segments == ("api", "models"):
            return self._listing(request)
        if segments[:2] == ("api", "models"):
            return self._api(request, segments[2:])
        if segments[:1] == ("blobs",):
            return self._blob(request, segments[1:])
        at = marker(segments, "resolve")
        if at is not None:
            return self._resolve(request, "/".join(segments[:at]), segments[at + 1], segments[at + 2 :])
        return refusal(404, "NotFound", "Sorry, we can't find the page you are looking for.")

    def _listing(self, request: Request) -> Reply:
        page, following = self.catalogue.page(request)
        return as_json(page).having(**self._link(request, following))

    def _link(self, request: Request, following: str | None) -> dict[str, str]:
        if following is None:
            return {}
        query = urlencode({**request.query, "cursor": [following]}, doseq=True)
        return {"Link": f'<{self.url.removesuffix("/datasets")}{request.raw_path}?{query}>; rel="next"'}

    def _api(self, request: Request, segments: Sequence[str]) -> Reply:
        at = marker(segments, "revision", "tree", "commits", "discussions", "paths-info")
        name = "/".join(segments[:at])
        if (moved := self.catalogue.moved(name)) is not None:
            return self._moved(request, name, moved)
        is_at_revision = at is not None and len(segments) > at + 1
        revision = segments[at + 1] if at is not None and is_at_revision else "main"
        if (refused := self._refused(request, name, revision)) is not None:
            return refused
        if at is not None and segments[at] == "tree":
            return self._tree(request, name, "/".join(segments[at + 2 :]))
        if at is not None and segments[at] == "paths-info":
            return self._paths(request, name)
        if at is not None and segments[at] == "commits":
            return self._commits(request, name)
        if at is not None and segments[at] == "discussions":
            return self._discussions(request, name)
        return as_json(self._model(request, name))

    def _model(self, request: Request, name: str) -> dict[str, Any]:
        details = truth(request.value("blobs"))
        siblings = [file.sibling(details) for file in self.repositories.files(name)]
        record = {"id": name, "modelId": name, **self._record(name), "sha": self._commit(name)}
        if siblings:
            record["siblings"] = siblings
        return shown(record, request) if request.values("expand") else record

    def _moved(self, request: Request, name: str, moved: str) -> Reply:
        """Where a renamed model is now; what follows its name stays."""
        place = request.raw_path.replace(quote(name), quote(moved), 1)
        query = f"?{urlencode(request.query, doseq=True)}" if request.query else ""
        return Reply(307, {"Location": f"{self.url}{place}{query}"}, b"Temporary Redirect")

    def _commits(self, request: Request, name: str) -> Reply:
        found = self.histories.commits.get(name) or [first_commit(self._commit(name))]
        return self._pages(request, found, COMMITS_PAGE)

    def _discussions(self, request: Request, name: str) -> Reply:
        found = self.histories.discussions.get(name, ())
        first = int(request.value("p") or 0) * DISCUSSIONS_PAGE
        page = found[first : first + DISCUSSIONS_PAGE]
        return as_json({"discussions": page, "count": len(found), "start": first, "numClosedDiscussions": 0})

    def _pages(self, request: Request, rows: Sequence[Any], largest: int) -> Reply:
        first, size = position(request.value("cursor")), min(page_size(request.value("limit")), largest)
        following = cursor(first + size) if first + size < len(rows) else None
        return as_json(rows[first : first + size]).having(**self._link(request, following))

    def _tree(self, request: Request, name: str, folder: str) -> Reply:
        rows = tree(self.repositories.files(name), folder, truth(request.value("recursive")))
        if not rows and folder:
            return refusal(404, "EntryNotFound", f"{folder} does not exist on this revision.")
        return self._pages(request, rows, TREE_PAGE)

    def _paths(self, request: Request, name: str) -> Reply:
        """The rows of a tree listing for paths that are asked for, folders and files."""
        asked, expand = paths_asked(request)
        rows = tree(self.repositories.files(name), "", recursive=True)
        first = first_commit(self._commit(name))
        last = {"lastCommit": {key: first[key] for key in ("id", "title", "date")}} if expand else {}
        return as_json([row | last for row in rows if row["path"] in asked])

    def _resolve(self, request: Request, name: str, revision: str, path: Sequence[str]) -> Reply:
        if (moved := self.catalogue.moved(name)) is not None:
            return self._moved(request, name, moved)
        if (refused := self._refused(request, name, revision)) is not None:
            return refused
        if (refused := self._gate(request, name, "/".join(path))) is not None:
            return refused
        commit = self._commit(name)
        file = self.repositories.file(name, "/".join(path))
        if file is None:
            return refusal(404, "EntryNotFound", "Entry not found").having(X_Repo_Commit=commit)
        if file.is_large:
            return self._elsewhere(name, file).having(X_Repo_Commit=commit)
        return self._content(request, name, file, file.blob_id)

    def _elsewhere(self, name: str, file: StoredFile) -> Reply:
        target = f"{self.blob_url}/blobs/{quote(name)}/{quote(file.path)}?Signature={signature(name, file.path)}"
        return Reply(302, {"Location": target, "Content-Type": "text/plain"}, b"Found. Redirecting").having(
            X_Linked_Size=str(file.size), X_Linked_ETag=f'"{file.sha256}"', Accept_Ranges="bytes"
        )

    def _blob(self, request: Request, segments: Sequence[str]) -> Reply:
        for at in (1, 2):
            name, path = "/".join(segments[:at]), "/".join(segments[at:])
            if request.value("Signature") == signature(name, path):
                file = self.repositories.file(name, path)
                return Reply(404) if file is None else self._content(request, name, file, file.sha256)
        return Reply(403, {"Content-Type": "application/xml"}, b"<Error><Code>AccessDenied</Code></Error>")

    def _content(self, request: Request, name: str, file: StoredFile, tag: str) -> Reply:
        return content(request, file).having(X_Repo_Commit=self._commit(name), ETag=f'"{tag}"')

    def _refused(self, request: Request, name: str, revision: str) -> Reply | None:
        """Why a model is not shown: it is unknown, private, or has no such revision."""
        record = self._record(name)
        if record.get("private") and not self._logged_in(request):
            return refusal(401, "RepoNotFound", "Invalid username or password.")
        if not record and not self.repositories.has(name):
            return refusal(404, "RepoNotFound", "Repository not found")
        if revision not in ("main", "refs/heads/main", self._commit(name)):
            return refusal(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return None

    def _gate(self, request: Request, name: str, path: str) -> Reply | None:
        if not self._record(name).get("gated") or path in PUBLIC_FILES:
            return None
        if not self._logged_in(request):
            message = f"Access to model {name} is restricted. You must have access to it and be authenticated."
            return refusal(401, "GatedRepo", message)
        if name not in self.granted:
            message = f"Access to model {name} is restricted and you are not in the authorized list."
            return refusal(403, "GatedRepo", message)
        return None

    def _logged_in(self, request: Request) -> bool:
        return self.token is not None and request.authorization == f"Bearer {self.token}"

    def _record(self, name: str) -> Record:
        return self.catalogue.find(name) or {}

    def _commit(self, name: str) -> str:
        return str(self._record(name).get("sha") or self.repositories.commit(name))


def marker(segments: Sequence[str], *words: str) -> int | None:
    """Where a word stands that ends a model's name (one segment or two) and is followed by a revision."""
    for at in (1, 2):
        if (len(segments) > at + 1 and segments[at] in words) or segments[at:] == ("discussions",):
            return at
    return None


def paths_asked(request: Request) -> tuple[set[str], bool]:
    """The paths of a question with a body, which is JSON or a form, and whether their last commit is wanted."""
    if request.headers.get("content-type", "").startswith("application/json"):
        asked = json.loads(request.body)
        return set(asked["paths"]), bool(asked.get("expand"))
    form = parse_qs(request.body.decode())
    return set(form.get("paths", [])), form.get("expand", ["false"])[0].lower() == "true"


def signature(name: str, path: str) -> str:
    """What lets a client without a token read a large file; it tells where the name ends and the path begins."""
    return hashlib.sha256(f"signed {name}: {path}".encode()).hexdigest()[:16]


def tree(files: Sequence[StoredFile], folder: str, recursive: bool) -> list[dict[str, Any]]:
    """The rows of a tree listing: folders once each, files with size and hashes."""
    prefix = f"{folder}/" if folder else ""
    rows: dict[str, dict[str, Any]] = {}
    for file in files:
        if not file.path.startswith(prefix):
            continue
        parts = file.path[len(prefix) :].split("/")
        for depth in range(1, len(parts) if recursive else min(len(parts), 2)):
            path = prefix + "/".join(parts[:depth])
            oid = hashlib.sha1(path.encode()).hexdigest()
            rows.setdefault(path, {"type": "directory", "oid": oid, "size": 0, "path": path})
        if recursive or len(parts) == 1:
            rows[file.path] = file.entry()
    return list(rows.values())


def content(request: Request, file: StoredFile) -> Reply:
    """A file, or the one range of it that the request asks for."""
    headers = {"Content-Type": "application/octet-stream", "Accept-Ranges": "bytes"}
    asked = re.fullmatch(r"bytes=(\d*)-(\d*)", request.headers.get("range", ""))
    if asked is None or not any(asked.groups()):
        return Reply(200, headers, file.read(0, file.size))
    begin, end = asked_range(asked[1], asked[2], file.size)
    if begin >= end:
        return Reply(416, {"Content-Range": f"bytes */{file.size}"})
    headers["Content-Range"] = f"bytes {begin}-{end - 1}/{file.size}"
    return Reply(206, headers, file.read(begin, end))


def asked_range(first: str, last: str, size: int) -> tuple[int, int]:
    """The half-open range that `first-last` means in a file of a size."""
    if not first:
        return max(0, size - int(last)), size
    return int(first), min(size, int(last) + 1) if last else size
