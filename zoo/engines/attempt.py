"""Does one job in this process, and turns whatever goes wrong into an answer."""

import json
import traceback
from collections.abc import Callable, Mapping
from typing import Annotated, Any

from pydantic import Field, TypeAdapter

from schemas.errors import OutsideError, WeightlakeError
from zoo import trial, work
from zoo.engines.engine import Done, Failed, Job

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
        work.perform(job, progress)
    except WeightlakeError as error:
        outside = isinstance(error, OutsideError)
        return {"event": "failed", "reason": str(error), "outside": outside, "again": outside}
    except Exception:  # noqa: BLE001 - whatever it is, the build reports it with the group's name
        return {"event": "failed", "reason": traceback.format_exc().strip(), "outside": False, "again": True}
    return {"event": "done", "answer": None}


def outcome(name: str, answer: Mapping[str, Any]) -> Done | Failed:
    """What an answer of `attempt` says of the job of this name."""
    if answer["event"] == "done":
        return Done(name, answer["answer"])
    return Failed(name, answer["reason"], answer["outside"], answer["again"])
