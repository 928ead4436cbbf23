"""`make bench`, or `python -m bench [NAME …] [--OPTION …]`: run the benchmarks, or those named, with their options."""

from __future__ import annotations

import importlib
import sys

ROOMS = {
    "daemon": {
        "newcomer": "from a clone to a mesh that has learnt, with an empty and with a full pip cache",
        "startup": "how fast the command line answers, and what an idle daemon weighs",
        "wire": "CPU time of the transport, beside trio TLS and stock py-libp2p",
        "flood": "fifty strangers flood a daemon: what honest peers keep of their rate, memory",
        "isolation": "training in a process or in a thread: delay of the event loop",
        "predict": "predictions beside training: latency, rate on one core, and what training loses",
        "page": "the page in a browser: first paint, bytes, and frames a second at 100 and 1,000 devices",
        "large": "a model of 100 MB between two daemons: delay of the event loop, memory",
    },
    "topology": {
        "consensus": "messages until 25 nodes agree, for every topology, with nodes absent",
        "learning": "what a topology does to learning, in the simulator",
        "graphs": "graphs of a million nodes beside networkx and igraph, and spectral gaps",
    },
    "sims": {
        "simulator": "deliveries a second, memory, determinism, and meshes under partition and churn",
        "fleet": "a million nodes in fleet mode, and how fast they train",
        "reality": "the same mesh simulated and as real processes: accuracy and bytes",
    },
    "learning": {
        "codec": "codecs beside memcpy, up to 10⁸ parameters",
        "digits": "eight daemons with two classes each, undisturbed and with kill -9",
        "shards": "MNIST by pairs of classes: 16 and 64 nodes, 10 MB each",
        "stragglers": "one of ten nodes ten times slower",
        "ablation": "every mechanism off, one at a time",
        "uncertainty": "how often sets and intervals hold the truth, beside how often they were asked to",
        "city": "road sensors of Los Angeles: central, alone, and by gossip, with faults",
        "mnist10": "ten daemons on MNIST shards to 0.90, beside other systems",
    },
}
"""By folder: the benchmarks, and what each tells."""
BENCHMARKS = {name: (f"bench.{room}.{name}", about) for room, told in ROOMS.items() for name, about in told.items()}


def main() -> int:
    given = sys.argv[1:]
    first = next((at for at, word in enumerate(given) if word.startswith("-")), len(given))
    names, options = given[:first] or list(BENCHMARKS), given[first:]
    if given in (["-h"], ["--help"]):
        print(__doc__)
        for name, (_, about) in BENCHMARKS.items():
            print(f"  {name:12} {about}")
        return 0
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        print(f"bench: no benchmark {unknown[0]!r}; there are {', '.join(BENCHMARKS)}", file=sys.stderr)
        return 2
    for name in names:
        module, about = BENCHMARKS[name]
        print(f"\n== {name}: {about}", flush=True)
        sys.argv = [f"bench {name}", *options]
        benchmark = importlib.import_module(module)
        if options and not hasattr(benchmark, "argparse"):
            print(f"bench: {name} has no options, not {options[0]}", file=sys.stderr)
            return 2
        benchmark.main()
    return 0


if __name__ == "__main__":
    sys.exit(main())
