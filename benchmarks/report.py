"""A report on a lake of 100,000 models: its size, seconds and memory, beside a page that carries the models' rows.

    python benchmarks/report.py [--models 100000] [--lake DIR] [--data ../shared/data]

The models are those of benchmarks/questions.py: real records under new names, with dates, cards' scores and lineage.
With --lake the report is one on that lake, whatever it holds. Report and yardstick run in a process of their own each;
the yardstick is what a page would carry that aggregates nothing: the rows of `models` and `lineage` as JSON.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from docs.questions import DATA

REPORT = """
import sys
from learners import report
from schemas import open_lake
with open_lake(sys.argv[1], read_only=True) as lake:
    report(lake, sys.argv[2])
"""
ROWS = """
import sys
from pathlib import Path
from schemas import open_lake
with open_lake(sys.argv[1], read_only=True) as lake:
    parts = [lake.sql(f"FROM {name}").write_json() for name in ("models", "lineage")]
Path(sys.argv[2]).write_text("".join(parts))
"""
MEASURED = """
import json, resource, time
used = resource.getrusage(resource.RUSAGE_SELF)
figures = [time.perf_counter() - began, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024]
print(json.dumps(figures))
"""


def main() -> None:
    """Make the lake unless one is given, report on it, and print both ways' figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=int, default=100_000)
    parser.add_argument("--lake", type=Path)
    parser.add_argument("--data", type=Path, default=DATA)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        lake = given.lake or _made(Path(temporary), given.data, given.models)
        print(f"{'':12}{'seconds':>9}{'of processor':>14}{'peak, MB':>10}{'size, MB':>10}")
        sizes = [_measured(name, way, lake, Path(temporary)) for name, way in (("report", REPORT), ("rows", ROWS))]
        print(f"a page with the rows would be {sizes[1] / sizes[0]:.0f} times as large")


def _made(folder: Path, data: Path, models: int) -> Path:
    from benchmarks.questions import filled

    return filled(folder, data, models).path


def _measured(name: str, way: str, lake: Path, folder: Path) -> int:
    """Run a way in a process of its own, print its figures, and give the bytes that it wrote."""
    target = folder / f"{name}.html"
    script = f"import time\nbegan = time.perf_counter()\n{way}\n{MEASURED}"
    done = subprocess.run([sys.executable, "-c", script, lake, target], check=True, capture_output=True, text=True)
    seconds, used, peak = json.loads(done.stdout.splitlines()[-1])
    size = target.stat().st_size
    print(f"{name:12}{seconds:>9.1f}{used:>14.1f}{peak:>10.0f}{size / 1e6:>10.2f}")
    return size


if __name__ == "__main__":
    main()
