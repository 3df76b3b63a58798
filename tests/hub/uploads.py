"""The test hub's upload side: making repositories, asking how files go up, Git LFS, commits, and checks of cards."""

import base64
import hashlib
import json
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import yaml

from tests.hub.messages import Reply, Request, as_json, refusal
from tests.hub.repositories import Repositories, is_large


class Uploads:
    """Takes what clients send: files of repositories below `folder/models` and `folder/datasets`, large ones by LFS.

    `changed` is called after each commit, with the kind of the repository (models, datasets) and its name.
    """

    def __init__(self, folder: Path, url: str, token: str | None, changed: Callable[[str, str], None]) -> None:
        self._folder = folder
        self._url = url
        self._token = token
        self._changed = changed
        self._lock = threading.Lock()
        self.commits: list[tuple[str, list[str]]] = []
        """Every commit: the repository and the paths that it added or deleted."""
        for name in ("models", "datasets", "lfs"):
            (folder / name).mkdir(parents=True, exist_ok=True)

    def answer(self, request: Request) -> Reply | None:
        """The answer to a request that writes; None if it is no such request."""
        segments = request.segments
        if request.method == "POST" and segments == ("api", "validate-yaml"):
            return check_card(json.loads(request.body)["content"])
        if request.method == "PUT" and segments[:1] == ("lfs",):
            return self._take(segments[1], request.body)  # whoever has the address may send, as on the real one
        if request.method != "POST" or segments[4:5] == ("paths-info",):
            return None  # paths are asked for by POST, and nothing is written
        if request.authorization != f"Bearer {self._token}":
            return refusal(401, "Unauthorized", "Invalid username or password.")
        if segments == ("api", "repos", "create"):
            return self._create(json.loads(request.body))
        if segments[-4:-1] == ("info", "lfs", "objects"):
            return self._batch(json.loads(request.body))
        if len(segments) == 6 and segments[0] == "api" and segments[4] in ("preupload", "commit"):
            return self._write(request, segments[1], "/".join(segments[2:4]), segments[4])
        return None

    def _create(self, asked: dict[str, Any]) -> Reply:
        kind = asked.get("type") or "model"
        name = "/".join(part for part in (asked.get("organization") or "me", asked["name"]) if part)
        place = self._folder / f"{kind}s" / name
        url = f"{self._url}/{'' if kind == 'model' else kind + 's/'}{name}"
        if place.is_dir():
            return as_json({"error": "You already created this repo", "url": url}, 409)
        place.mkdir(parents=True)
        self._changed(f"{kind}s", name)
        return as_json({"url": url, "id": name})

    def _write(self, request: Request, kind: str, name: str, verb: str) -> Reply:
        place = self._folder / kind / name
        if not place.is_dir():
            return refusal(404, "RepoNotFound", "Repository not found")
        if verb == "preupload":
            return self._modes(kind, name, json.loads(request.body)["files"])
        return self._commit(kind, name, [json.loads(line) for line in request.body.splitlines() if line.strip()])

    def _modes(self, kind: str, name: str, files: Iterable[dict[str, Any]]) -> Reply:
        """How each file goes up, and the blob that is there under its path now."""
        repositories = Repositories(self._folder / kind)
        answers = []
        for file in files:
            there = repositories.file(name, file["path"])
            mode = "lfs" if is_large(file["path"], file["size"]) else "regular"
            oid = None if there is None else there.sha256 if there.is_large else there.blob_id
            answers.append({"path": file["path"], "uploadMode": mode, "shouldIgnore": False, "oid": oid})
        return as_json({"files": answers})

    def _batch(self, asked: dict[str, Any]) -> Reply:
        """Where to send each object; those that are there already need not be sent."""
        objects = []
        for each in asked["objects"]:
            href = {"href": f"{self._url}/lfs/{each['oid']}"}
            is_there = (self._folder / "lfs" / each["oid"]).is_file()
            objects.append(
                {"oid": each["oid"], "size": each["size"], **({} if is_there else {"actions": {"upload": href}})}
            )
        return as_json({"transfer": "basic", "objects": objects})

    def _take(self, oid: str, body: bytes) -> Reply:
        if hashlib.sha256(body).hexdigest() != oid:
            return refusal(400, "BadRequest", "The content does not have this SHA-256.")
        (self._folder / "lfs" / oid).write_bytes(body)
        return Reply()

    def _commit(self, kind: str, name: str, lines: list[dict[str, Any]]) -> Reply:
        """All changes of a commit, or none of them."""
        place = self._folder / kind / name
        changes = [(line["key"], line["value"]) for line in lines if line["key"] != "header"]
        absent = [value["oid"] for key, value in changes if key == "lfsFile" and not self._object(value).is_file()]
        if absent:
            return refusal(400, "BadRequest", f"LFS object {absent[0]} was not uploaded")
        with self._lock:
            for key, value in changes:
                self._apply(place, key, value)
            self.commits.append((name, [value["path"] for _, value in changes]))
        self._changed(kind, name)
        oid = Repositories(self._folder / kind).commit(name)
        return as_json({"success": True, "commitOid": oid, "commitUrl": f"{self._url}/{kind}/{name}/commit/{oid}"})

    def _object(self, value: dict[str, Any]) -> Path:
        return self._folder / "lfs" / str(value["oid"])

    def _apply(self, place: Path, key: str, value: dict[str, Any]) -> None:
        path = place / value["path"]
        assert path.resolve().is_relative_to(place.resolve()), f"{path} leads out of the repository"
        if key == "deletedFile":
            path.unlink()
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(path.name + ".new")
        if key == "lfsFile":
            beside.hardlink_to(self._object(value))
        else:
            beside.write_bytes(base64.b64decode(value["content"]))
        beside.replace(path)


def check_card(content: str) -> Reply:
    """What the Hub says of a card's front matter."""
    try:
        fields = yaml.safe_load(content.split("---\n")[1]) if content.startswith("---\n") else {}
    except (IndexError, yaml.YAMLError) as error:
        return as_json({"errors": [{"message": f"invalid YAML: {error}"}], "warnings": []}, 400)
    licence = (fields or {}).get("license")
    if licence is not None and not isinstance(licence, str | list):
        return as_json({"errors": [{"message": '"license" must be a string'}], "warnings": []}, 400)
    return as_json({"errors": [], "warnings": []})


def said_by_config(repositories: Repositories, name: str) -> dict[str, Any]:
    """What the Hub takes from a repository's config.json into its record."""
    file = repositories.file(name, "config.json")
    found = {} if file is None else json.loads(file.place.read_bytes())
    config = {key: found[key] for key in ("architectures", "model_type") if key in found}
    return {"config": config} if config else {}


def said_by_card(repositories: Repositories, name: str) -> dict[str, Any]:
    """What the Hub takes from the front matter of a repository's card into its record."""
    card = repositories.file(name, "README.md")
    text = "" if card is None else card.place.read_text(encoding="utf-8")
    fields = (yaml.safe_load(text.split("---\n")[1]) if text.startswith("---\n") else None) or {}
    listed = {"license": [fields.get("license")], "dataset": fields.get("datasets") or ()}
    listed["base_model"] = fields.get("base_model") or ()
    tags = [f"{kind}:{value}" for kind, values in listed.items() for value in values if value]
    return {
        "cardData": fields,
        "tags": [*(fields.get("tags") or ()), *tags],
        **{key: fields[key] for key in ("pipeline_tag", "library_name") if key in fields},
    }
