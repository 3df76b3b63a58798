"""Where a dataset or model repository stands: a folder, or hf:owner/name on the Hugging Face Hub."""

import re
from dataclasses import dataclass
from pathlib import Path

from schemas.errors import UsageError

SCHEME = "hf:"
NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9])?")


@dataclass(frozen=True)
class OnHub:
    """A repository on the hub, at a revision."""

    repository: str
    revision: str | None = None

    def __str__(self) -> str:
        return f"{SCHEME}{self.repository}" + (f"@{self.revision}" if self.revision else "")


def parse_address(text: str | Path) -> Path | OnHub:
    """Tell a folder from a repository of the hub, which is written `hf:owner/name` or `hf:owner/name@revision`.

    Raises:
        UsageError: It begins with `hf:` and what follows is no repository's name.
    """
    if isinstance(text, Path) or not text.startswith(SCHEME):
        return Path(text)
    repository, _, revision = text.removeprefix(SCHEME).partition("@")
    parts = repository.split("/")
    if len(parts) != 2 or not all(NAME.fullmatch(part) and "--" not in part and ".." not in part for part in parts):
        raise UsageError(f"{text!r} names no repository of the hub: expected hf:owner/name, e.g. hf:ada/digits-zoo")
    return OnHub(repository, revision or None)
