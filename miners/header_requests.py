"""Fetches headers of weight files by range requests; the weights behind them are never asked for."""

from collections.abc import Sequence
from dataclasses import replace

from miners.addresses import printable
from miners.batch import Batch
from miners.fetching import Fetched, failures, file_bytes, is_no_answer
from miners.headers.header import LONGEST_HEADER, Header
from miners.headers.reading import read_header
from miners.headers.source import Source
from miners.http import Answer, HubClient, NotFound
from miners.targets import Target
from miners.weight_files import indices, is_inside, main_files, shards, to_read
from miners.weight_rows import Headers, add_headers
from schemas.errors import DataError, HubError, UsageError

WHOLE_MODEL = "model.safetensors"  # what is asked for where the hub lists no files
INDEX_LIMIT = 2**25  # bytes
MOST_FILES = 200  # of one repository; some keep thousands of checkpoints
MOST_INDICES = 20
MOST_TENSORS = 250_000  # of one repository; the largest models in use have about half of that
MOST_REQUESTS = 1000  # for one repository; an ONNX file may take a quarter of them
TENSOR_BYTES = 500  # in memory, about
MOST_BYTES = 2**28  # of one repository; a GGUF file with a large vocabulary takes eight million
LARGEST_KEPT = 2**20  # bytes of a file's answers; what is larger is a tokenizer rather than a header, and not kept
UNREADABLE = (DataError, HubError, UsageError)


class _Remote:
    """A file of a repository on a hub; the answers are left in `answers` as they came."""

    def __init__(self, client: HubClient, address: str, answers: list[Answer]) -> None:
        self._client = client
        self._address = address
        self._answers = answers
        self.size: int | None = None

    def fetch(self, begin: int, end: int) -> bytes:
        """Ask for the bytes [begin, end)."""
        limit = end if end <= LONGEST_HEADER else end - begin  # a hub without ranges sends all that lies before
        answer = self._client.get(self._address, byte_range=(begin, end), limit=limit)
        self._answers.append(answer)
        self.size = file_bytes(answer) if self.size is None else self.size
        return answer.body


def fetch_headers(client: HubClient, target: Target) -> Fetched[Headers]:
    """Fetch the headers of a repository's weight files, and which of the files make up the model.

    `miners.weight_files` says which files these are. Each takes one request as a rule, two or three for a long header
    or a zip archive, and an ONNX file of more than a few megabytes about one for each large tensor.
    """
    visit = _Visit(client, target)
    named = visit.indices()
    paths = [WHOLE_MODEL] if target.paths is None else to_read(target.paths, named)
    for path in paths:
        visit.header(path)
    return visit.result(named)


class _Visit:
    """What has been read of one repository so far, and what could not be."""

    def __init__(self, client: HubClient, target: Target) -> None:
        self._client = client
        self._target = target
        self._files: dict[str, Header] = {}
        self._fetched: Fetched[Headers] = Fetched(target, found=Headers())
        self._broken: list[str] = []
        self._unread: list[str] = []
        self._size = 0
        self._requests = 0

    def indices(self) -> dict[str, list[str]]:
        """Give what the repository's indices name, by their paths."""
        named = {}
        for path in indices(self._target.paths or ())[:MOST_INDICES]:
            try:
                answer = self._client.get(self._address(path), limit=INDEX_LIMIT)
                self._fetched.answers.append(answer)
                named[path] = shards(answer.body, path)
            except UNREADABLE as error:
                self._fail(path, error)
        return named

    def header(self, path: str) -> None:
        """Read one file, unless those before it took all that a repository may take."""
        if self._is_full():
            self._unread.append(path)
            return
        answers: list[Answer] = []
        try:
            self._files[path] = read_header(path, Source(_Remote(self._client, self._address(path), answers)))
        except UNREADABLE as error:
            self._fail(path, error)
        self._size += sum(len(answer.body) for answer in answers)
        self._requests += len(answers)
        self._fetched.answers += _kept(answers, self._files.get(path))

    def result(self, named: dict[str, list[str]]) -> Fetched[Headers]:
        """Give everything."""
        if self._unread:
            reason = f"{len(self._unread)} weight files were not read: those before them took all that one model may"
            self._fetched.failures.append(reason)
        files = main_files(self._files, named, [*self._broken, *self._unread])
        self._fetched.found = Headers(self._files, files)
        self._fetched.found_bytes = self._tensors() * TENSOR_BYTES
        return self._fetched

    def _is_full(self) -> bool:
        files = len(self._files) + len(self._broken)
        many = files >= MOST_FILES or self._requests >= MOST_REQUESTS
        return many or self._tensors() > MOST_TENSORS or self._size > MOST_BYTES

    def _tensors(self) -> int:
        return sum(len(header.tensors) for header in self._files.values())

    def _fail(self, path: str, error: Exception) -> None:
        self._broken.append(path)
        if isinstance(error, NotFound) and self._target.paths is None:
            return  # nobody said that there is one
        self._fetched.unreachable |= is_no_answer(error)
        self._fetched.failures.append(f"{printable(path)}: {error}")

    def _address(self, path: str) -> str:
        if not is_inside(path):
            raise DataError("the path leads out of the repository")
        return self._target.address(path)


def _kept(answers: Sequence[Answer], header: Header | None) -> list[Answer]:
    """Give the answers that are worth keeping, without the weights that came along behind a header."""
    if sum(len(answer.body) for answer in answers) > LARGEST_KEPT:
        return []
    if header is None or header.length is None or len(answers) > 1:
        return list(answers)
    return [replace(answer, body=answer.body[: header.length]) for answer in answers]


def header_batch(portion: Sequence[Fetched[Headers]]) -> Batch:
    """Give the rows of fetched headers: those of `add_headers`, `parameters` where they are known, and failures."""
    batch = failures(portion, "tensors")
    for fetched in portion:
        model_id = fetched.target.model_id
        if fetched.found and fetched.found.files:
            add_headers(batch, model_id, fetched.found)
            batch.add_rows("parameters", [(model_id, fetched.found.parameters)])
    return batch
