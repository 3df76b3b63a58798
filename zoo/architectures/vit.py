"""A vision transformer for small images."""

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu

from schemas.errors import UsageError
from zoo.architectures.attention import TransformerBlock

PATCH = 4
HEADS = 3


class ViT(nn.Module):
    """A vision transformer (Dosovitskiy et al., 2021) of `depth` blocks with `width` dimensions and three heads.

    Images are cut into patches of 4 x 4; a class token goes first, positions are learnt, the
    activation is GELU, and the class token's last state is classified. A width that three does not
    divide has one head.
    """

    initialisation = "transformer"

    def __init__(self, input_shape: tuple[int, ...], classes: int, width: int, *, depth: int = 6) -> None:
        super().__init__()
        channels, height, breadth = input_shape
        if height % PATCH or breadth % PATCH:
            raise UsageError(f"the vit needs images whose sides {PATCH} divides, these are {height} x {breadth}")
        patches = (height // PATCH) * (breadth // PATCH)
        self.class_token = nn.Parameter(torch.zeros(1, 1, width))
        self.positions = nn.Parameter(torch.zeros(1, patches + 1, width))
        self.patches = nn.Conv2d(channels, width, kernel_size=PATCH, stride=PATCH)
        heads = HEADS if width % HEADS == 0 else 1
        self.blocks = nn.Sequential(*(TransformerBlock(width, heads, False, gelu) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Map images `[n, channels, height, width]` to logits `[n, classes]`."""
        patches = self.patches(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.class_token.expand(x.shape[0], -1, -1), patches], dim=1) + self.positions
        logits: Tensor = self.head(self.norm(self.blocks(tokens))[:, 0])
        return logits
