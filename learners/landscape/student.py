"""How much wider a standard error from few values has to be, so that 1.96 of it cover 95 times in a hundred."""

NORMAL = 1.959964
"""What a normal variable exceeds once in forty times."""
STUDENT = {1: 12.7062, 2: 4.3027, 3: 3.1824, 4: 2.7764}
"""What Student's t exceeds once in forty times, by its degrees of freedom, where the series is too rough."""


def widening(count: int) -> float:
    """How much wider 95 % of Student's t of so many values are than of the normal distribution.

    Args:
        count: Values that a mean and its standard error were estimated from, two or more.

    Source:
        Abramowitz and Stegun, 26.7.5.
    """
    free, z = count - 1, NORMAL
    series = (
        (z**3 + z) / (4 * free)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * free**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * free**3)
    )
    return STUDENT.get(free, z + series) / z
