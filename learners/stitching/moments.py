"""Sums over samples that a least-squares problem hangs on, kept up while the samples stream by."""

import torch
from torch import Tensor

SUMS = 1 << 29
"""Bytes that the sums of several problems may take together; more are made one after the other."""


class Moments:
    """Count, mean and scatter of rows, in float64, whose size hangs on the columns and not on the number of rows.

    scatter = sum over rows of (row - mean)^T (row - mean)

    Rows come in batches; means are taken out batch by batch (Chan, Golub and LeVeque, 1983), so that columns far from
    zero lose no digits. Let the columns be the features of many networks, and each block of the scatter
    matrix belongs to the normal equations of one pair.
    """

    def __init__(self, columns: int, device: torch.device | None = None) -> None:
        self.count = 0
        self.mean = torch.zeros(columns, dtype=torch.float64, device=device)
        self.scatter = torch.zeros(columns, columns, dtype=torch.float64, device=device)

    def add(self, rows: Tensor) -> None:
        """Take in rows `[n, columns]` of any floating point type."""
        exact = rows.detach().to(torch.float64)
        mean = exact.mean(dim=0)
        centred = exact - mean
        total = self.count + len(rows)
        apart = mean - self.mean
        self.scatter.addmm_(centred.T, centred)
        self.scatter.addr_(apart, apart, alpha=self.count * len(rows) / total)
        self.mean += apart * (len(rows) / total)
        self.count = total
