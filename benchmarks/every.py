"""Every benchmark after the other, and the minutes each took: small, or with --full as in docs/benchmarks.md.

    python benchmarks/every.py [--full] [--only NAME ...]

The small sizes are chosen by which all of them together take less than twenty minutes on two cores; ratios to the
peers hold there too, though small inputs favour whoever has less to set up. Benchmarks of the real data set are left
out where it is not at ../shared/data, and said to be. Ends with 1 where one failed, after the others have run.
"""

import argparse
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
DATA = HERE.parents[1] / "shared" / "data"
LIMIT = 20  # minutes


class Benchmark(NamedTuple):
    """A file of this folder, its arguments when small and in full, and whether it reads the real data set."""

    name: str
    small: tuple[str, ...] = ()
    full: tuple[str, ...] = ()
    data: bool = False


EVERY = (
    Benchmark("mining", ("--records", "100000", "--runs", "1"), ("--records", "100000"), data=True),
    Benchmark("catalogues", data=True),
    Benchmark("questions", ("--models", "100000", "--rounds", "2"), ("--rounds", "3"), data=True),
    Benchmark("cards", ("--times", "1"), ("--times", "4"), data=True),
    Benchmark("headers"),
    Benchmark("mergeable", ("200000",)),
    Benchmark("soak", ("--records", "15000", "--repositories", "100", "--kills", "4"), data=True),
    Benchmark("population", ("--network", "mlp", "--rounds", "1"), ("--rounds", "3")),
    Benchmark("loading"),
    Benchmark("publishing", ("--members", "10000")),
    Benchmark("landscape", ("--network", "mlp", "--rounds", "1"), ("--rounds", "2")),
    Benchmark("stitching", ("8",), ("24",)),
    Benchmark("stitching_phases", ("--shuffles", "200")),
    Benchmark("stitchable_fashion", data=True),
    Benchmark("soups", ("--models", "10", "--megabytes", "50")),
    Benchmark("soup_miniatures", ("--part", "merging"), data=True),
    Benchmark("report", ("--models", "100000")),
)


class Taken(NamedTuple):
    """How a benchmark ended, and its minutes on the clock and of the processor, its children's included."""

    code: int
    clock: float
    processor: float


def main() -> None:
    """Run what is asked for and print a line of minutes for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="at the sizes of docs/benchmarks.md; hours")
    parser.add_argument("--only", nargs="+", choices=[each.name for each in EVERY], metavar="NAME")
    given = parser.parse_args()
    chosen = [each for each in EVERY if not given.only or each.name in given.only]
    taken = {each.name: timed(each, given.full) for each in chosen if not missing(each)}
    summary(taken)
    if any(each.code for each in taken.values()):
        raise SystemExit(1)


def missing(benchmark: Benchmark) -> bool:
    """Whether the data that it reads is not here; says so."""
    absent = benchmark.data and not DATA.is_dir()
    if absent:
        print(f"{benchmark.name} left out: the real data set is not at {DATA}", flush=True)
    return absent


def timed(benchmark: Benchmark, full: bool) -> Taken:
    """Run it in a process of its own."""
    arguments = benchmark.full if full else benchmark.small
    print(f"\n== python benchmarks/{benchmark.name}.py {' '.join(arguments)}", flush=True)
    began, used = time.perf_counter(), processor()
    done = subprocess.run([sys.executable, HERE / f"{benchmark.name}.py", *arguments], check=False)
    return Taken(done.returncode, (time.perf_counter() - began) / 60, (processor() - used) / 60)


def processor() -> float:
    """Seconds of the processor that all children took which have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def summary(taken: dict[str, Taken]) -> None:
    """Print the minutes of each and of all together."""
    print(f"\n{'benchmark':24}{'minutes':>8}{'of processor':>14}")
    for name, each in taken.items():
        print(f"{name:24}{each.clock:>8.1f}{each.processor:>14.1f}{f'  failed with {each.code}' if each.code else ''}")
    clock, used = (sum(each[place] for each in taken.values()) for place in (1, 2))
    print(f"{'all':24}{clock:>8.1f}{used:>14.1f}{'' if clock < LIMIT else '  more than twenty minutes on the clock'}")


if __name__ == "__main__":
    main()
