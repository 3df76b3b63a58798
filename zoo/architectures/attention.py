"""The block that transformers are made of: self-attention and a perceptron, each normalised first and added."""

from collections.abc import Callable
from math import sqrt

import torch
from torch import Tensor, nn

EXPANSION = 4
"""Hidden units of the perceptron for each dimension of the model."""


class Attention(nn.Module):
    """Self-attention of several heads (Vaswani et al., 2017); with `causal` a place sees itself and what is before it.

    softmax(Q K^T / sqrt(dimensions of a head)) V
    """

    def __init__(self, width: int, heads: int, causal: bool) -> None:
        super().__init__()
        self.heads, self.causal = heads, causal
        self.dimensions = width // heads
        self.queries_keys_values = nn.Linear(width, 3 * width)
        self.projection = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Map `[n, places, width]` to the same shape."""
        samples, places, width = x.shape
        split = self.queries_keys_values(x).view(samples, places, 3, self.heads, self.dimensions)
        queries, keys, values = split.permute(2, 0, 3, 1, 4)
        scores = queries @ keys.transpose(-2, -1) / sqrt(self.dimensions)
        if self.causal:
            later = torch.ones(places, places, dtype=torch.bool, device=x.device).triu(1)
            scores = scores.masked_fill(later, -torch.inf)
        mixed = scores.softmax(dim=-1) @ values
        projected: Tensor = self.projection(mixed.transpose(1, 2).reshape(samples, places, width))
        return projected


class TransformerBlock(nn.Module):
    """x + attention(norm(x)), and then x + perceptron(norm(x)) with four hidden units a dimension."""

    def __init__(self, width: int, heads: int, causal: bool, activation: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = Attention(width, heads, causal)
        self.norm2 = nn.LayerNorm(width)
        self.linear1 = nn.Linear(width, EXPANSION * width)
        self.linear2 = nn.Linear(EXPANSION * width, width)
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        """Map `[n, places, width]` to the same shape."""
        x = x + self.attention(self.norm1(x))
        hidden = self.activation(self.linear1(self.norm2(x)))
        mapped: Tensor = self.linear2(hidden)
        return x + mapped
