"""Measures one process's part of a training: how long it takes, how far it is, and on what it runs."""

import os
import platform
import resource
import sys
import time
from datetime import UTC, datetime

import torch

from zoo.backends import Choice
from zoo.environment import device_name, flags, software
from zoo.results import Progress, Sitting

MAXRSS_BYTES = 1 if sys.platform == "darwin" else 1024


class Clock:
    """Counts the steps of a sitting and the seconds since things were last done.

    Args:
        device: Where the training happens.
        choice: The backend, and why.
        step: Steps that were done before.
        steps: Steps of the whole training.
        precision: That of its passes, float32 if None.
    """

    def __init__(
        self, device: torch.device, choice: Choice, step: int, steps: int, precision: torch.dtype | None = None
    ) -> None:
        self.device, self.choice, self.first, self.step, self.steps = device, choice, step, step, steps
        self.precision = precision
        self.begun_at, self.begun = datetime.now(UTC), time.monotonic()
        self._noted: dict[str, float] = {}

    def tick(self) -> None:
        """Count a step."""
        self.step += 1

    def note(self, what: str) -> None:
        """Remember that something has just been done."""
        self._noted[what] = time.monotonic()

    def since(self, what: str) -> float:
        """Seconds since something was done, or since the beginning."""
        return time.monotonic() - self._noted.get(what, self.begun)

    def sitting(self) -> Sitting:
        """Say what this process did, up to now."""
        return Sitting(
            begun_at=self.begun_at,
            step=self.first,
            seconds=time.monotonic() - self.begun,
            device=str(self.device),
            device_name=device_name(self.device),
            software=software(self.device),
            flags=flags(self.device, self.precision),
            backend=self.choice.name,
            backend_reason=self.choice.reason,
            peak_memory=_peak_memory(self.device),
        )

    def progress(self, epoch: int) -> Progress:
        """Say how far the training is, after so many epochs."""
        done = self.step - self.first
        return Progress(
            step=self.step,
            steps=self.steps,
            epoch=epoch,
            seconds_a_step=(time.monotonic() - self.begun) / done if done else None,
            begun_at=self.begun_at,
            updated_at=datetime.now(UTC),
            host=platform.node(),
            process=os.getpid(),
            device=str(self.device),
        )


def _peak_memory(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * MAXRSS_BYTES
