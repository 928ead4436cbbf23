"""MNIST-10 side by side: ten processes on a ring, to a mean test accuracy of 0.90.

20,000 MNIST images on 10 nodes with Dirichlet(0.5) label skew; MLP 784-64-10, SGD 0.1, batch 32. Bytes are everything
that loopback sent in a network namespace of the mesh's own, headers and handshakes included. The other systems' rows
were measured once each on two busy cores with the same data, model and target: bytes are solid, seconds within a factor
of 2; versions and settings as they came from PyPI in autumn 2026.
"""

from __future__ import annotations

import os
import shutil
import statistics
from pathlib import Path

from bench.digits import run

DATA = Path(os.environ.get("MNIST10", "../shared/bench/mnist10.npz"))
SEEDS = (0, 1, 2)
OTHERS = """\
decentralizepy, ring           6.2    40.0 (28)   2.06 GB   no: blocks for ever
decentralizepy, complete      11.1    12.6 (11)   2.08 GB   no
gossipy (simulator), ring      8.3    23.5 (7.5)  0.66 GB   –
hivemind, group all-reduce     3.8    55.7 (47)   5.1 GB    yes, step 1.2 → 3.4 s
p2pfl on Ray, ring            12.9    87.7 (10)   2.1 GB    no
flower FedAvg (simulated)      2.0    11.7 (3)    1.4 GB    server"""


def main() -> None:
    if not DATA.is_file():
        print(f"skipped: {DATA} is not there; MNIST10=FILE names the data")
        return
    own_namespace = os.geteuid() == 0 and shutil.which("unshare") is not None and shutil.which("ip") is not None
    if not own_namespace:
        print("not root, or no unshare and ip: bytes include whatever else uses loopback")
    results = []
    for seed in SEEDS:
        options = ["--nodes", "10", "--task", "npz", "--data", str(DATA), "--topology", "ring", "--until", "0.90"]
        result = run([*options, "--seconds", "120", "--seed", str(seed)], namespace=own_namespace)
        results.append(result)
        print(f"seed {seed}: {_row(result['loopback_bytes_per_node'], result)}", flush=True)
    print("\nsystem                     MB sent/node  s (ready at)  PSS of all  survives kill -9")
    megabytes = statistics.median(result["loopback_bytes_per_node"] / 1e6 for result in results)
    seconds = statistics.median(result["seconds_to_target"] or float("inf") for result in results)
    ready = statistics.median(result["seconds_to_all_training"] for result in results)
    memory = statistics.median(result["pss_bytes"] / 1e9 for result in results)
    name = "gossipfl, ring (median)"
    print(f"{name:27} {megabytes:6.2f}    {seconds:.1f} ({ready:.1f})   {memory:.2f} GB   yes (see digits)")
    print(OTHERS)


def _row(sent: float, result: dict[str, object]) -> str:
    reached = result["seconds_to_target"]
    return (
        f"{sent / 1e6:.2f} MB sent per node, 0.90 "
        + ("not reached" if reached is None else f"after {reached:.1f} s")
        + f", all training after {result['seconds_to_all_training']:.1f} s"
    )


if __name__ == "__main__":
    main()
