"""Does one job in this process, and turns whatever goes wrong into an answer."""

import json
import traceback
from collections.abc import Callable
from typing import Annotated, Any

from pydantic import Field, TypeAdapter

from schemas.errors import OutsideError, WeightlakeError
from zoo import task, trial
from zoo.engines.engine import Job

JOB: TypeAdapter[Job] = TypeAdapter(Annotated[Job, Field(discriminator="kind")])


def attempt(line: str, progress: Callable[[int], None]) -> dict[str, Any]:
    """Do a job that is written as JSON; gives `event`, done or failed, and what belongs to it.

    Args:
        line: The job.
        progress: Is called with the number of epochs done after each of them.
    """
    try:
        job = JOB.validate_json(line)
        if isinstance(job, trial.Trial):
            return {"event": "done", "answer": json.dumps(trial.perform(job))}
        task.perform(job, progress)
    except WeightlakeError as error:
        return {"event": "failed", "reason": str(error), "outside": isinstance(error, OutsideError)}
    except Exception:  # noqa: BLE001 - whatever it is, the build reports it with the group's name
        return {"event": "failed", "reason": traceback.format_exc().strip(), "outside": False}
    return {"event": "done", "answer": None}
