"""A small model hub on this machine, to try mining on without internet: the made-up models of `example_models`.

python -m commands.example_hub --port 8765
"""

import argparse
import json
import re
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

from commands.example_models import MODELS, record, write_example

FILE = re.compile(r"/(?P<model>[\w.-]+/[\w.-]+)/resolve/(?P<sha>\w+)/(?P<file>[\w.-]+)")
RANGE = re.compile(r"bytes=(\d{1,18})-(\d{1,18})")


class ExampleHub(ThreadingHTTPServer):
    """Answers the questions of the Hugging Face Hub's interface that mining asks: the list of models, and their files.

    Args:
        folder: Where the models' repositories lie.
        port: Where to listen on this machine; 0 for any free port.
    """

    daemon_threads = True  # a client may keep its connection open for longer than the hub lives

    def __init__(self, folder: Path, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Questions)
        self.folder = folder
        self.records = [record(folder, example) for example in MODELS]

    @property
    def url(self) -> str:
        """Its address, for `mine(..., endpoint=hub.url)`."""
        return f"http://127.0.0.1:{self.server_port}"


class Questions(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server: ExampleHub

    def do_GET(self) -> None:
        """Answer with the list, with a file or a range of one, or that there is no such thing."""
        path = urlsplit(self.path).path
        if path == "/api/models":
            self._answer(200, json.dumps(self.server.records).encode(), {"content-type": "application/json"})
            return
        asked = FILE.fullmatch(path)
        names = {f"{each['id']}/{file['rfilename']}" for each in self.server.records for file in each["siblings"]}
        if asked is None or f"{asked['model']}/{asked['file']}" not in names:
            self._answer(404, b"not found", {"x-error-code": "EntryNotFound"})
            return
        content = (self.server.folder / asked["model"] / asked["file"]).read_bytes()
        headers = {"x-repo-commit": asked["sha"], "accept-ranges": "bytes"}
        part = RANGE.fullmatch(self.headers.get("range", ""))
        if part is None:
            self._answer(200, content, headers)
            return
        begin, end = int(part[1]), min(int(part[2]), len(content) - 1)
        self._answer(206, content[begin : end + 1], headers | {"content-range": f"bytes {begin}-{end}/{len(content)}"})

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "content-length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""


@contextmanager
def example_hub(port: int = 0) -> Iterator[ExampleHub]:
    """Serve the example from a folder that is gone afterwards.

    Raises:
        OSError: Something else listens on the port.
    """
    with tempfile.TemporaryDirectory() as folder, ExampleHub(write_example(Path(folder)), port) as hub:
        serving = threading.Thread(target=hub.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        serving.start()
        try:
            yield hub
        finally:
            hub.shutdown()
            serving.join()


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(prog="python -m commands.example_hub", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="port to listen on (default: any free one)")
    with example_hub(parser.parse_args().port) as hub:
        print(hub.url, flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
