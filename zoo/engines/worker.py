"""A process that does jobs: they come in as lines of JSON, what happens goes out as lines of JSON.

`python -m zoo.engines.worker` is started by `zoo.engines.local` and ends as soon as its standard input
does, so that no worker outlives the build that started it, however that one ended.
"""

import json
import os
import queue
import signal
import sys
import threading
from typing import TextIO

from zoo.engines.attempt import attempt
from zoo.environment import make_reproducible


def main() -> None:
    """Do jobs until standard input ends."""
    answers = _take_standard_output()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the build; it ends its workers itself
    make_reproducible()
    jobs: queue.Queue[str] = queue.Queue()
    threading.Thread(target=_listen, args=[jobs], daemon=True).start()
    while True:
        _answer(answers, **attempt(jobs.get(), lambda epoch: _answer(answers, event="epoch", epoch=epoch)))


def _listen(jobs: queue.Queue[str]) -> None:
    for line in sys.stdin:
        jobs.put(line)
    os._exit(0)


def _take_standard_output() -> TextIO:
    """Keep standard output for answers alone; what libraries print goes to standard error."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return answers


def _answer(answers: TextIO, **fields: object) -> None:
    answers.write(json.dumps(fields) + "\n")
    answers.flush()


if __name__ == "__main__":
    main()
