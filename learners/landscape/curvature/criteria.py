"""How negative a spectrum is: the ratio of its ends, and that of its negative to its positive part."""

from torch import Tensor

from learners.landscape.curvature.density import Density
from learners.landscape.curvature.eigenvalues import Extremes


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

    0 where none is negative. The error is that of a ratio of two means (delta method), which go by the same probes.

    Source:
        K_Hn of Gabdullin 2024, https://arxiv.org/abs/2412.10146, on the density of the quadrature.
    """
    below = (density.nodes.clamp_max(0).abs() * density.weights).sum(dim=2)
    above = (density.nodes.clamp_min(0) * density.weights).sum(dim=2)
    ratio = below.mean(dim=1) / above.mean(dim=1)
    offset = below - ratio.unsqueeze(1) * above
    error = offset.std(dim=1) / offset.shape[1] ** 0.5 / above.mean(dim=1)
    return ratio, error
