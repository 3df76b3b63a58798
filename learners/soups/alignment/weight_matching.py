"""Weight matching: units are matched by their weights, without any data."""

from collections.abc import Mapping

from torch import Tensor

from learners.soups.alignment.matching import Compared, Match, match
from learners.soups.alignment.specification import Specification

STATISTICS = ("running_mean", "running_var")


def weight_matching(
    specification: Specification, first: Mapping[str, Tensor], second: Mapping[str, Tensor], seeds: int = 3
) -> Match:
    """Find how the second network's units have to be moved for its weights to be nearest to the first's.

    max over permutations of <first, permuted second>, which is the least Euclidean distance. Running statistics of
    batch norm do not count.

    Args:
        specification: What `permutations_of` gives.
        first: Tensors of a model by name.
        second: Those of the model that is to be moved.
        seeds: Orders of groups that are tried; the best result counts.

    Source:
        Ainsworth et al. 2023, Git Re-Basin, section 3.2, https://arxiv.org/abs/2209.04836.
    """
    views = {
        name: view
        for name, view in specification.tensors.items()
        if not name.endswith(STATISTICS) and any(factor.group is not None for dimension in view for factor in dimension)
    }
    compared = Compared(
        {name: first[name].double() for name in views}, {name: second[name].double() for name in views}, views
    )
    return match(specification, compared, seeds)
