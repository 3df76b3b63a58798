"""Where groups are trained: in worker processes on this machine, or on a Ray cluster."""

from zoo.engines.choice import ENGINES, check_engine, open_engine
from zoo.engines.engine import Done, Engine, Epoch, Event, Failed, Job

__all__ = ["ENGINES", "Done", "Engine", "Epoch", "Event", "Failed", "Job", "check_engine", "open_engine"]
