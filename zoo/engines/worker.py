"""A process that does jobs: they come in as lines of JSON, what happens goes out as lines of JSON.

`python -m zoo.engines.worker` is started by `zoo.engines.local` and ends as soon as its standard input
does, so that no worker outlives the build that started it, however that one ended.
"""

import os
import queue
import signal
import sys
import threading

from zoo.answering import answer, take_standard_output
from zoo.engines.attempt import attempt
from zoo.environment import make_reproducible


def main() -> None:
    """Do jobs until standard input ends."""
    answers = take_standard_output()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the build; it ends its workers itself
    make_reproducible()
    jobs: queue.Queue[str] = queue.Queue()
    threading.Thread(target=_listen, args=[jobs], daemon=True).start()
    while True:
        answer(answers, **attempt(jobs.get(), lambda epoch: answer(answers, event="epoch", epoch=epoch)))


def _listen(jobs: queue.Queue[str]) -> None:
    for line in sys.stdin:
        jobs.put(line)
    os._exit(0)


if __name__ == "__main__":
    main()
