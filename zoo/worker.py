"""A process that trains groups: tasks come in as lines of JSON, what happens goes out as lines of JSON.

`python -m zoo.worker` is started by `zoo.crew` and ends as soon as its standard input does, so that
no worker outlives the build that started it, however that one ended.
"""

import json
import os
import queue
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from typing import TextIO

import torch

from schemas.errors import OutsideError, WeightlakeError
from zoo.task import Task, perform


def main() -> None:
    """Perform tasks until standard input ends."""
    answers = _take_standard_output()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the build; it ends its workers itself
    torch.set_num_threads(1)
    torch.set_num_interop_threads(1)
    torch.use_deterministic_algorithms(True)
    tasks: queue.Queue[str] = queue.Queue()
    threading.Thread(target=_listen, args=[tasks], daemon=True).start()
    while True:
        task = Task.model_validate_json(tasks.get())
        _answer(answers, **_attempt(task, lambda epoch: _answer(answers, event="epoch", epoch=epoch)))


def _attempt(task: Task, progress: Callable[[int], None]) -> dict[str, object]:
    try:
        perform(task, progress)
    except WeightlakeError as error:
        return {"event": "failed", "reason": str(error), "outside": isinstance(error, OutsideError)}
    except Exception:  # noqa: BLE001 - whatever it is, the build reports it with the group's name
        return {"event": "failed", "reason": traceback.format_exc().strip(), "outside": False}
    return {"event": "done"}


def _listen(tasks: queue.Queue[str]) -> None:
    for line in sys.stdin:
        tasks.put(line)
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
