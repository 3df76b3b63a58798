"""A build on a Ray cluster of two nodes on this machine, of which one is killed in the middle of a group.

python -m tests.ray_build LAKE IMAGES EPOCHS
"""

import sys
import threading
import time
from importlib import import_module
from pathlib import Path

from schemas import open_lake
from tests.tiny_population import START, tiny_recipe
from zoo.building import build

ray = import_module("ray")
Cluster = import_module("ray.cluster_utils").Cluster
HERE = {"node_ip_address": "127.0.0.1", "include_dashboard": False, "object_store_memory": 80_000_000}


def main(lake: str, images: str, epochs: int) -> None:
    recipe = tiny_recipe(Path(images), epochs=epochs)
    cluster = Cluster(initialize_head=True, head_node_args={**HERE, "num_cpus": 0})
    nodes = [cluster.add_node(**HERE, num_cpus=1) for _ in range(2)]
    ray.init(address=cluster.address, log_to_driver=False)
    opened = open_lake(lake)

    def kill_a_node() -> None:
        while len(list(opened.weights.folder.rglob("*.state"))) < 2:
            time.sleep(0.01)
        time.sleep(0.3)
        print("on their way:", len(list(opened.weights.folder.rglob("*.state"))), flush=True)
        cluster.remove_node(nodes[0], allow_graceful=False)

    killer = threading.Thread(target=kill_a_node)
    killer.start()
    build(opened, recipe, device="cpu", engine="ray", keep_seconds=0.1, clock=lambda: START)
    killer.join()
    print("nodes left:", sum(node["Alive"] for node in ray.nodes()), flush=True)
    ray.shutdown()
    cluster.shutdown()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
