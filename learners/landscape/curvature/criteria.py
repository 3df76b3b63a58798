"""How negative a spectrum is: the ratio of its ends, and that of its negative to its positive part."""

import torch
from torch import Tensor

from learners.landscape.curvature.density import Density
from learners.landscape.curvature.eigenvalues import Extremes
from learners.landscape.student import widening


def extreme_ratio(extremes: Extremes) -> Tensor:
    """|smallest eigenvalue| / largest eigenvalue, `[N]`: near 0 at a minimum, near 1 at a saddle.

    A smallest eigenvalue that is not negative counts as 0.

    Source:
        r_e of Gabdullin 2024, "Investigating generalization capabilities of neural networks by means of loss landscapes
        and Hessian analysis", https://arxiv.org/abs/2412.10146.
    """
    return (-extremes.smallest).clamp_min(0) / extremes.top[:, 0]


def negative_share(density: Density) -> tuple[Tensor, Tensor]:
    """The sum of the negative eigenvalues' sizes over the sum of the positive ones, and its standard error, `[N]`.

    0 where none is negative. The error is that of a ratio of two means that go by the same few probes: the jackknife's,
    widened by what Student's t asks of so few. 1.96 of it cover the exact value 91 to 95 times in a hundred with five
    probes: least often where one eigenvalue is much of the whole. NaN with a single probe.

    Source:
        K_Hn of Gabdullin 2024, https://arxiv.org/abs/2412.10146, on the density of the quadrature.
    """
    below = (density.nodes.clamp_max(0).abs() * density.weights).sum(dim=2)
    above = (density.nodes.clamp_min(0) * density.weights).sum(dim=2)
    count = below.shape[1]
    ratio = below.mean(dim=1) / above.mean(dim=1)
    if count < 2:
        return ratio, torch.full_like(ratio, torch.nan)
    left_out = (below.sum(dim=1, keepdim=True) - below) / (above.sum(dim=1, keepdim=True) - above)
    squares = ((left_out - left_out.mean(dim=1, keepdim=True)) ** 2).sum(dim=1)
    return ratio, ((count - 1) / count * squares).sqrt() * widening(count)
