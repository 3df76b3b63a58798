"""Time for tests: it passes only when somebody sleeps, and then at once."""

import threading


class StoppedClock:
    """A clock and a sleep that belong together; hand the same one to the hub and to its client."""

    def __init__(self) -> None:
        self.slept: list[float] = []
        self._now = 1000.0
        self._lock = threading.Lock()

    def now(self) -> float:
        """Seconds since some moment."""
        with self._lock:
            return self._now

    def sleep(self, seconds: float) -> None:
        """Let so many seconds pass, and remember them."""
        with self._lock:
            self._now += seconds
            self.slept.append(seconds)
