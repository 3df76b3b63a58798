"""Gets files from GitHub as anybody may: archives and raw files, which cost nothing of the API's quota."""

import os
from collections.abc import Callable
from pathlib import Path

from miners.http import HubClient
from miners.source import Contents, Wanted, contents
from schemas.files import write_whole

SITE = "https://github.com"
LARGEST_ARCHIVE = 512 * 2**20  # bytes


def github_client(endpoint: str) -> HubClient:
    """Make a client that shows GITHUB_TOKEN, if it is set, to GitHub and to nobody else."""
    return HubClient(endpoint, token=os.environ.get("GITHUB_TOKEN") or False)


def archived(repository: str, wanted: Wanted) -> Callable[[HubClient, Path], Contents]:
    """Make a function that fetches the archive of a repository's default branch and reads the files that matter."""

    def fetch(client: HubClient, folder: Path) -> Contents:
        answer = client.get(f"/{repository}/archive/HEAD.tar.gz", limit=LARGEST_ARCHIVE)
        place = folder / "archive.tar.gz"
        write_whole(place, answer.body)
        return contents(place, wanted)

    return fetch
