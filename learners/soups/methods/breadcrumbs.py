"""Model Breadcrumbs: the smallest and the very largest values of task vectors are left out."""

from typing import Annotated

from torch import Tensor

from learners.soups.methods.method import Setting
from learners.soups.methods.sparsify import between
from learners.soups.methods.task_vectors import task_vectors


@task_vectors(
    formula="θ = θ₀ + λ Σ wᵢ mᵢ (θᵢ - θ₀),  mᵢ = 0 for the largest share g and the smallest share 1-d-g",
    paper="Davari and Belilovsky 2023, Model Breadcrumbs, https://arxiv.org/abs/2312.06795",
    consensus=False,
    normalize=False,
)
def breadcrumbs(
    delta: Tensor,
    *,
    density: Annotated[float, Setting("share of each task vector's values that is kept", 0, 1)] = 0.9,
    outliers: Annotated[float, Setting("share of largest values that is left out", 0, 1)] = 0.01,
) -> Tensor:
    """Leave out outliers and small values of each task vector, and add the task vectors to the parent.

    Shares of a tensor are rounded down, but one value is kept at least: mergekit keeps none of a tensor of one value
    at any density below 1, which takes such a scale or bias back to the parent's.
    """
    return between(delta, density, outliers)
