"""How long the view `mergeable` takes on a lake of a million models, beside one scan of the same rows.

python benchmarks/mergeable.py [MODELS]
"""

import sys
import tempfile
import time
from pathlib import Path

from schemas import Lake, open_lake

MODELS = 1_000_000
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


def seconds(lake: Lake, query: str) -> float:
    """Time of a query, the best of three."""
    times = []
    for _ in range(3):
        begun = time.perf_counter()
        lake.sql(query)
        times.append(time.perf_counter() - begun)
    return min(times)


def main() -> None:
    """Print the times."""
    models = int(sys.argv[1]) if len(sys.argv) > 1 else MODELS
    with tempfile.TemporaryDirectory() as folder, open_lake(Path(folder) / "lake") as lake:
        fill(lake, models)
        edges = lake.sql("SELECT count(*) FROM lineage").item()
        scan = seconds(lake, "SELECT fingerprint, count(*) FROM weights GROUP BY ALL ORDER BY 2 DESC LIMIT 1")
        whole = seconds(lake, "SELECT count(*), count(DISTINCT (fingerprint, ancestor_id)) FROM mergeable")
        rows, groups = lake.sql("SELECT count(*), count(DISTINCT (fingerprint, ancestor_id)) FROM mergeable").row(0)
        print(f"{models} models, {edges} edges: {rows} rows in {groups} groups")
        print(f"mergeable {whole:.2f} s; grouping weights by fingerprint alone {scan:.2f} s; ratio {whole / scan:.1f}")


if __name__ == "__main__":
    main()
