"""Dropout whose mask hangs on a key that is handed in, so that each member of a population has its own."""

import torch
from torch import Tensor, nn

from zoo.randomness import uniforms


class KeyedDropout(nn.Module):
    """Zeroes each value with probability `rate` while training, and scales the others by 1 / (1 - rate).

    Which values are zeroed is a function of the buffer `key`, a whole number that is no part of the
    module's state: the trainer hands in another one for each member and step. A model of a population
    thereby drops what it would drop if it were trained alone, on every device.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate
        self.key: Tensor
        self.register_buffer("key", torch.zeros((), dtype=torch.int64), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Give values of the shape of `x`; while not training, `x` itself."""
        if not self.training or self.rate == 0:
            return x
        kept = uniforms(self.key, x.numel()).view(x.shape) >= self.rate
        return torch.where(kept, x / (1 - self.rate), 0.0)
