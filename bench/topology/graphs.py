"""Graphs of a million nodes, beside networkx and igraph; spectral gaps at a hundred thousand, beside closed forms.

One process after the other, so that each starts with empty memory. igraph is measured where it is installed.
"""

import subprocess
import sys
from math import cos, pi

BUILD = """
import resource, sys, time
import numpy as np
{imports}
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
begun = time.perf_counter()
made = {call}
print(time.perf_counter() - begun, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""
OURS = "from gossipfl_topology import arrays; import scipy.spatial"
REACH = "(8 / np.pi / n) ** 0.5"
BUILDERS = {
    "regular, k = 4": {
        "gossipfl": (OURS, "arrays('regular', n, k=4)"),
        "networkx": ("import networkx as nx", "nx.random_regular_graph(4, n, seed=0)"),
        "igraph": ("import igraph", "igraph.Graph.K_Regular(n, 4)"),
    },
    "watts-strogatz, k = 4, p = .1": {
        "gossipfl": (OURS, "arrays('watts-strogatz', n, k=4, p=0.1)"),
        "networkx": ("import networkx as nx", "nx.watts_strogatz_graph(n, 4, 0.1, seed=0)"),
        "igraph": ("import igraph", "igraph.Graph.Watts_Strogatz(1, n, 2, 0.1)"),
    },
    "barabasi-albert, m = 2": {
        "gossipfl": (OURS, "arrays('barabasi-albert', n, m=2)"),
        "networkx": ("import networkx as nx", "nx.barabasi_albert_graph(n, 2, seed=0)"),
        "igraph": ("import igraph", "igraph.Graph.Barabasi(n, 2)"),
    },
    "geometric, mean degree 8": {
        "gossipfl": (OURS, f"arrays('geometric', n, side=1.0, range={REACH})"),
        "networkx": ("import networkx as nx", f"nx.random_geometric_graph(n, {REACH}, seed=0)"),
        "igraph": ("import igraph", f"igraph.Graph.GRG(n, {REACH})"),
    },
}
GAP = """
import sys, time
from gossipfl_topology import arrays, spectral_gap
from gossipfl_topology.mixing import mixing_weights
W = mixing_weights({graph})
begun = time.perf_counter()
gap = spectral_gap(W)
print(time.perf_counter() - begun, repr(gap))
"""
GAPS = {
    "regular, k = 4": ("arrays('regular', 100_000, k=4)", None),
    "barabasi-albert, m = 2": ("arrays('barabasi-albert', 100_000, m=2)", None),
    "watts-strogatz, k = 4, p = .1": ("arrays('watts-strogatz', 100_000)", None),
    "torus 316 x 316": ("arrays('torus', 316 * 316)", 2 / 5 * (1 - cos(2 * pi / 316))),
    "ring": ("arrays('ring', 100_000)", 2 / 3 * (1 - cos(2 * pi / 100_000))),
    "exponential": ("arrays('exponential', 100_000)", 2 / 18),
}


def main() -> None:
    n = 1_000_000
    print(f"{n} nodes: seconds (MB more at the most)\n")
    print(f"{'graph':32}" + "".join(f"{name:>18}" for name in ("gossipfl", "networkx", "igraph")))
    for graph, ways in BUILDERS.items():
        cells = [_run(BUILD.format(imports=imports, call=call), n) for imports, call in ways.values()]
        shown = [f"{float(c[0]):.2f} ({float(c[1]):.0f})" if c else "not installed" for c in cells]
        print(f"{graph:32}" + "".join(f"{cell:>18}" for cell in shown), flush=True)
    print("\nspectral gap of 100,000 nodes, Metropolis weights: seconds, gap, relative error where it is known\n")
    for graph, (made, exact) in GAPS.items():
        seconds, gap = _run(GAP.format(graph=made), n)
        error = "" if exact is None else f"{abs(float(gap) / exact - 1):12.1e}"
        print(f"{graph:32}{float(seconds):10.2f}{float(gap):16.6g}{error}", flush=True)


def _run(code: str, n: int) -> list[str]:
    """The words that `code` prints; none if a module is missing."""
    done = subprocess.run(
        [sys.executable, "-c", f"n = {n}\n{code}"], capture_output=True, text=True, check=False
    )  # fmt: skip
    if done.returncode and "ModuleNotFoundError" not in done.stderr:
        raise RuntimeError(done.stderr)
    return done.stdout.split()


if __name__ == "__main__":
    main()
