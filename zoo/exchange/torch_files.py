"""Reads files of torch.save, if they are trusted: in a process of its own, with limits of memory and time.

Such a file is a pickle, which can run code when it is read. `torch.load(weights_only=True)` keeps it from that as far
as torch's own reader holds what it promises; so nothing is read unless the caller says that the files are trusted, and
then never in the caller's process.
"""

import json
import os
import select
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from schemas import DataError, OutsideError, UsageError
from schemas.weights import read_safetensors
from zoo.exchange.foreign import inside
from zoo.population import Weights

SECONDS = 60.0
"""What reading one file may take."""
STARTING_SECONDS = 300.0
"""What starting the process may take on a busy machine."""
LONGEST_ANSWER = 65_536
BYTES = 4 * 2**30
"""What the process may grow by."""
TRUST = "--i-trust-these-files"


class TorchFiles:
    """Reader of torch files below a folder; its process is started with the first of them."""

    def __init__(self, root: Path, *, trusted: bool, seconds: float = SECONDS, size: int = BYTES) -> None:
        self.root, self.trusted, self.seconds, self.size = root, trusted, seconds, size
        self._process: subprocess.Popen[bytes] | None = None
        self._scratch = tempfile.TemporaryDirectory(prefix="weightlake-")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()
        self._scratch.cleanup()

    def check_trusted(self, example: Path) -> None:
        """Raise UsageError unless the files are trusted; `example` is one that would be read."""
        if not self.trusted:
            raise UsageError(
                f"{example} is a pickle of torch.save, which can run code when it is read; if you trust whoever made "
                f"these files, say {TRUST}: they are then read with weights_only=True in a process with limits"
            )

    def read(self, path: Path) -> Weights:
        """Read the state dict of one file.

        Raises:
            UsageError: The files are not trusted.
            DataError: It leads out of the folder, holds no state dict or something that is not allowed, or takes more
                memory or time than it may.
            OutsideError: The process cannot be started.
        """
        self.check_trusted(path)
        source, target = inside(self.root, path).resolve(), Path(self._scratch.name) / "converted.safetensors"
        job = json.dumps({"path": str(source), "to": str(target)}).encode() + b"\n"
        reason = self._ask(job)
        if reason is not None:
            raise DataError(f"{path} is not read: {reason}")
        try:
            return {name: tensor.clone() for name, tensor in read_safetensors(target).items()}
        finally:
            target.unlink(missing_ok=True)

    def _ask(self, job: bytes) -> str | None:
        """Why the process could not convert a file; None if it has."""
        process = self._started()
        with suppress(OSError):  # a process that is gone says nothing, which is noticed below
            _pipe(process.stdin).write(job)
        line = _line(process, self.seconds)
        if line is not None and line.endswith(b"\n"):
            reason = json.loads(line)["reason"]
            return None if reason is None else str(reason)
        self._stop()
        if line is None:
            return f"reading it took longer than {self.seconds:g} seconds"
        return f"the process that read it ended, most likely because it needs more than {self.size:,} bytes"

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            self._process = subprocess.Popen(  # noqa: S603 - our own program
                [sys.executable, "-m", "zoo.exchange.torch_child", str(self.size)],
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
            )
            if not (_line(self._process, STARTING_SECONDS) or b"").endswith(b"\n"):
                self._stop()
                raise OutsideError("the process that reads torch files does not start, or cannot be limited here")
        return self._process

    def _stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            _pipe(self._process.stdin).close()
            _pipe(self._process.stdout).close()
            self._process = None


def _line(process: subprocess.Popen[bytes], seconds: float) -> bytes | None:
    """The next line that a process says; less than a line if it ends or says too much, None if it takes too long."""
    line, until = b"", time.monotonic() + seconds
    while not line.endswith(b"\n") and len(line) < LONGEST_ANSWER:
        if not select.select([_pipe(process.stdout)], [], [], max(0.0, until - time.monotonic()))[0]:
            return None
        piece = os.read(_pipe(process.stdout).fileno(), 4096)
        if not piece:
            break
        line += piece
    return line


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None  # noqa: S101 - each process is started with both
    return pipe
