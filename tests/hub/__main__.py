"""Runs the test hub as a process of its own: prints its URL and serves until it is killed.

python -m tests.hub --records FILE --repositories FOLDER
python -m tests.hub --uploads FOLDER --token hf_any    # takes what clients with this token publish
"""

import argparse
import gzip
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.hub.server import TestHub


def read_records(path: Path) -> Iterator[dict[str, Any]]:
    """The records of a file with one JSON object a line, gzipped if it is named so."""
    text = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    yield from (json.loads(line) for line in text.splitlines() if line.strip())


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(prog="python -m tests.hub", description=__doc__)
    parser.add_argument("--records", type=Path, action="append", help="JSON lines, may be given several times")
    parser.add_argument("--repositories", type=Path, help="folder with owner/name/files")
    parser.add_argument("--uploads", type=Path, help="folder for what clients upload, models and datasets")
    parser.add_argument("--token", help="token that clients need to upload and to read what is private")
    parser.add_argument("--port", type=int, default=0, help="port to listen on (default: any free one)")
    options = parser.parse_args()
    records = None if options.records is None else [r for path in options.records for r in read_records(path)]
    if options.uploads is not None and options.token is None:
        parser.error("--uploads needs --token, the token that may write: any word, as --token hf_any")
    with TestHub(records, options.repositories, token=options.token, uploads=options.uploads, port=options.port) as hub:
        serve(hub)


def serve(hub: TestHub) -> None:
    """Say where a hub is and let it answer until killed."""
    print(hub.url, flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
