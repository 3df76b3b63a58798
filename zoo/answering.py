"""How a child process answers: JSON lines on standard output, where nothing else may print."""

import json
import os
import sys
from typing import TextIO


def take_standard_output() -> TextIO:
    """Keep standard output for answers alone; what libraries print goes to standard error."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return answers


def answer(answers: TextIO, **fields: object) -> None:
    """Write one answer, a JSON object in a line of its own, at once."""
    answers.write(json.dumps(fields) + "\n")
    answers.flush()
