"""How long the view `mergeable` takes on a lake of a million models, beside one scan of the same rows.

python benchmarks/mergeable.py [MODELS]
"""

import sys
import tempfile
import time
from pathlib import Path

from schemas import Lake, open_lake

MODELS = 1_000_000
GROUPED = "SELECT max(models) FROM (SELECT count(*) AS models FROM weights GROUP BY fingerprint)"
COUNTS = "count(*), count(DISTINCT (fingerprint, ancestor_id))"
ROWS = """
CREATE TEMP TABLE drawn AS
SELECT place, random() AS chance,
    CASE WHEN random() < 0.4 THEN (random() * 2000)::BIGINT ELSE (place * random() * random())::BIGINT END AS parent
FROM range($models) AS all_models(place)
"""
LINEAGE = """
INSERT INTO lineage BY NAME
SELECT 'huggingface:owner/m' || place AS child_id, 'huggingface:owner/m' || parent AS parent_id, 'finetune' AS relation
FROM drawn WHERE chance < 0.65 AND parent < place
"""
CIRCLES = """
INSERT INTO lineage BY NAME
SELECT 'huggingface:owner/c' || place AS child_id,
    'huggingface:owner/c' || (place // 3 * 3 + (place + 1) % 3) AS parent_id
FROM range(3000) AS circles(place)
"""
MODEL = """
INSERT INTO model BY NAME SELECT 'huggingface:owner/m' || place AS model_id, 'huggingface' AS hub FROM drawn
"""
WEIGHTS = """
INSERT INTO weights BY NAME
SELECT 'huggingface:owner/m' || place AS model_id, 'safetensors' AS format, true AS main, 7_000_000_000 AS parameters,
    sha256((CASE WHEN chance < 0.5 THEN parent % 5000 ELSE place END)::VARCHAR) AS fingerprint
FROM drawn
"""


def fill(lake: Lake, models: int) -> None:
    """Families of models, most of them small and shallow, some of them large, a few in circles."""
    with lake.write() as transaction:
        transaction.sql("SELECT setseed(0.5)")
        transaction.sql(ROWS, models=models)
        for statement in (LINEAGE, CIRCLES, MODEL, WEIGHTS):
            transaction.sql(statement)


def seconds(lake: Lake, query: str) -> tuple[float, float]:
    """Time that a query takes on the clock and in work of all cores, the best of three by the clock."""
    times = []
    for _ in range(3):
        begun, worked = time.perf_counter(), time.process_time()
        lake.sql(query)
        times.append((time.perf_counter() - begun, time.process_time() - worked))
    return min(times)


def main() -> None:
    """Print the times."""
    models = int(sys.argv[1]) if len(sys.argv) > 1 else MODELS
    with tempfile.TemporaryDirectory() as folder, open_lake(Path(folder) / "lake") as lake:
        fill(lake, models)
        edges = lake.sql("SELECT count(*) FROM lineage").item()
        rows, groups = lake.sql(f"SELECT {COUNTS} FROM mergeable").row(0)
        print(f"{models:,} models, {edges:,} edges: {rows:,} rows in {groups:,} groups")
        scan, scan_work = seconds(lake, GROUPED)
        view, view_work = seconds(lake, f"SELECT {COUNTS} FROM mergeable")
        print(f"grouping by fingerprint alone {scan:.2f} s, {scan_work:.2f} s of work")
        print(f"mergeable {view:.2f} s, {view_work:.2f} s of work: {view_work / scan_work:.1f} times that")


if __name__ == "__main__":
    main()
