"""A small GPT-2."""

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu

from zoo.architectures.attention import TransformerBlock

HEADS = 4


def _gelu(x: Tensor) -> Tensor:
    return gelu(x, approximate="tanh")


class GPT2(nn.Module):
    """GPT-2 (Radford et al., 2019) of `depth` blocks with `width` dimensions and four heads.

    Positions are learnt, the activation is the tanh form of GELU, and the last layer's weights are
    those of the token embedding. A width that four does not divide has one head.
    """

    initialisation = "transformer"

    def __init__(self, input_shape: tuple[int, ...], classes: int, width: int, *, depth: int = 6) -> None:
        super().__init__()
        self.tokens = nn.Embedding(classes, width)
        self.positions = nn.Embedding(input_shape[0], width)
        heads = HEADS if width % HEADS == 0 else 1
        self.blocks = nn.Sequential(*(TransformerBlock(width, heads, True, _gelu) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens `[n, places]` to logits of the next token at each place `[n, places, classes]`."""
        places = torch.arange(x.shape[1], device=x.device)
        states = self.norm(self.blocks(self.tokens(x) + self.positions(places)))
        logits: Tensor = states @ self.tokens.weight.T
        return logits
