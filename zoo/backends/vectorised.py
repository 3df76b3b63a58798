"""All members in one call of each operation, by `torch.func.vmap`."""

from typing import ClassVar

from torch import Tensor
from torch.func import grad_and_value, vmap

from zoo.backends.stacked import Stacked
from zoo.population import Weights, flatten, unflatten


class Vectorised(Stacked):
    """Runs the members' module once for all of them."""

    name: ClassVar[str] = "vmap"

    def gradient(
        self, weights: Tensor, buffers: Weights, coefficient: Tensor, x: Tensor, y: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """As `Stacked.gradient`."""

        def loss_of(
            parameters: Weights, held: Weights, coefficient: Tensor, x: Tensor, y: Tensor
        ) -> tuple[Tensor, Tensor]:
            with self.smaller():
                return self.objective.one(self.assignment.learner, parameters | held, coefficient, x, y)

        each = vmap(grad_and_value(loss_of, has_aux=True))
        gradient, (loss, score) = each(unflatten(weights, self.shapes), buffers, coefficient, x, y)
        return flatten(gradient), loss, score
