"""What all ways of training a group have in common."""

from typing import ClassVar, Protocol

from torch import Tensor

from zoo.population import Samples, Weights

State = dict[str, Tensor]

MEMORY = "memory."
BUFFER = "buffer."
CAUSES = (None, "loss", "weights", "running statistics")
"""What can stop being finite; the first stands for a member that is still trained."""


class Backend(Protocol):
    """Trains the members of a group, all of them in each step, and measures them.

    Every backend gives the same weights up to rounding. A member whose loss, weights or buffers stop
    being finite keeps its last finite ones from there on, and nothing of the others changes.
    """

    name: ClassVar[str]
    metric: str
    """Name of what is measured beside the loss."""

    @property
    def cause(self) -> Tensor:
        """Why each member has diverged, `[N]`, int64: an index of `CAUSES`, 0 for those that are still trained."""

    def step(self, batch: Tensor, share: float, step: int) -> tuple[Tensor, Tensor]:
        """Take one step, and give each member's mean loss `[N]` and summed second metric `[N]`.

        Args:
            batch: Which training samples each member meets, `[N, b]`.
            share: The share of the peak learning rate that the step is taken with.
            step: The number of the step, from 0.
        """

    def measure(self, samples: Samples) -> tuple[Tensor, Tensor]:
        """Give each member's mean loss and mean second metric on the same samples, `[N]` each, float64."""

    def population(self) -> Weights:
        """Give the members' weights, stacked: parameters, and buffers of normalising layers."""

    def state(self) -> State:
        """Give all that going on needs, on the CPU: the same names and shapes whatever the backend.

        `weights` and `memory.0`, ... (what the optimiser remembers) are `[N, parameters]`, `cause` is
        `[N]`, and each `buffer.NAME` has the population's shape.
        """

    def restore(self, state: State) -> None:
        """Go on from a state that this or another backend gave."""
