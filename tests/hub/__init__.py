"""A model hub on loopback with the Hugging Face Hub's behaviour, for tests: real HTTP, no mocks.

with TestHub(records, repositories=folder) as hub:
    hub.misbehave("/api/models", "503", times=2)
    ...                                     # talk to hub.url
    assert hub.requests("/api/models")[0].status == 503
"""

from tests.hub.catalogue import Record
from tests.hub.clock import StoppedClock
from tests.hub.faults import Fault
from tests.hub.messages import Reply, Request
from tests.hub.quotas import Quota
from tests.hub.routes import Histories
from tests.hub.server import TestHub

__all__ = ["Fault", "Histories", "Quota", "Record", "Reply", "Request", "StoppedClock", "TestHub"]
