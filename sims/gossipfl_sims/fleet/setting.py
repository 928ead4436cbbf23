"""The setting of a fleet: how many nodes, who sends to whom, and what goes wrong.

Owns the checks of what a caller asks for, the memory that it takes, and the list of what fleet mode leaves out. Times
are in seconds of virtual time, as everywhere in the simulator. Knows nothing of kernels, so it needs no numba.
"""

from __future__ import annotations

from dataclasses import dataclass

from gossipfl.errors import LocalError
from gossipfl.protocol.contacts import SIZE
from gossipfl_topology import Graph

LEFT_OUT = """\
Fleet mode runs the protocol's mixing, not the protocol. It has: publishes at jittered intervals, fresh k-out among
sampled contacts or a given graph, Metropolis coefficients from publish rates, the staleness hinge, ages, the clip and
the refusal by distance, loss, churn, partitions. It leaves out:
- time within a slot: whatever a slot brings happens at its beginning, and every message takes the same whole slots;
- the codec: vectors travel whole as float32, without bases and rounding, and are not counted in bytes;
- momentum: a model moves by training and merging only;
- frames: no handshake, duplicates, damage, strikes, allowance per peer, or order of versions;
- links: no dialling, limit of links or bandwidth; who goes is known to be gone at once, by everybody;
- joining: all nodes are linked from the start; who comes back goes on from the model that it left with and never
  rebases;
- views: contacts are drawn, not heard of. Drawn ones are fair; in a mesh of more nodes than a peer can know, those of
  real peers depend on when they joined, and it mixes more slowly than the fleet says;
- training time: a local step takes none, and each is on all rows of the node (no minibatches);
- the served average: accuracy is that of the model x itself, below that of the served one between merges."""
"""What a result of fleet mode can't show; to be printed with every such result."""

MIXING_BYTES = 90
"""Per node beside its row and contacts: its pace and clock, and the plans of one slot."""


@dataclass(frozen=True, kw_only=True)
class Churn:
    """Nodes come and go: sessions and absences of exponential length, each with its mean in seconds.

    An absent node neither trains, publishes nor receives; it keeps its model. The fleet starts in the long-run state.
    """

    present: float
    absent: float

    def __post_init__(self) -> None:
        _check("churn.present", self.present, self.present > 0, "seconds > 0")
        _check("churn.absent", self.absent, self.absent > 0, "seconds > 0")


@dataclass(frozen=True, kw_only=True)
class Partition:
    """From `start` to `end`, in seconds, nothing that is sent gets from one of the groups to another.

    The groups are ranges of node numbers of the same length, to within one node.
    """

    start: float
    end: float
    groups: int = 2

    def __post_init__(self) -> None:
        _check("partition.start", self.start, self.start >= 0, "seconds ≥ 0")
        _check("partition.end", self.end, self.end > self.start, f"more than the start, {self.start:g}")
        _check("partition.groups", self.groups, self.groups >= 2, "2 or more")


@dataclass(frozen=True, kw_only=True, eq=False)
class Fleet:
    """What to simulate.

    Attributes:
        nodes: how many, n.
        floats: d, the length of each model vector; with data to learn from, their model's size counts instead.
        k: recipients of a publish, fresh each time; not for a graph.
        contacts: links that recipients are drawn from, as in the protocol, in a fleet of more nodes than that; None:
            everybody has a link with everybody, and each epoch is one random circle, so that all hear from exactly k.
        graph: whom each node sends to, always all of them; None: k-out.
        interval: seconds between two publishes of a node, ±10 %.
        slots: time steps in an interval, 2 to 1000.
        latency: slots between a publish and its merge, 1 to `slots`.
        loss: probability that a message is lost.
        churn: who comes and goes; None: nobody.
        partitions: at any time, a message must get through all those that last.
        steps: local steps per publish, by which ages grow.
        seed: of everything random.
        memory: bytes that the state may take.

    Raises:
        LocalError: a value out of its range; the message names it and what is allowed.
    """

    nodes: int
    floats: int = 8
    k: int = 3
    contacts: int | None = SIZE
    graph: Graph | None = None
    interval: float = 1.0
    slots: int = 20
    latency: int = 1
    loss: float = 0.0
    churn: Churn | None = None
    partitions: tuple[Partition, ...] = ()
    steps: int = 1
    seed: int = 0
    memory: float = 4e9

    def __post_init__(self) -> None:
        _check("nodes", self.nodes, 1 <= self.nodes < 2**31, "1 to 2147483647")
        _check("floats", self.floats, self.floats >= 1, "1 or more")
        _check("k", self.k, 1 <= self.k <= SIZE, f"1 to {SIZE}")
        ok = self.contacts is None or (self.k <= self.contacts <= 256 and self.contacts % 2 == 0)
        _check("contacts", self.contacts, ok, "None, or an even number from k to 256")
        if self.graph is not None:
            _check("graph.n", self.graph.n, self.graph.n == self.nodes, f"as many as nodes, {self.nodes}")
        _check("interval", self.interval, self.interval > 0, "seconds > 0")
        _check("slots", self.slots, 2 <= self.slots <= 1000, "2 to 1000")
        _check("latency", self.latency, 1 <= self.latency <= self.slots, f"1 to {self.slots} slots")
        _check("loss", self.loss, 0 <= self.loss <= 1, "0 to 1")
        _check("steps", self.steps, self.steps >= 1, "1 or more")

    @property
    def sampled(self) -> bool:
        """Does each node draw from contacts of its own, and not from everybody?"""
        return self.graph is None and self.contacts is not None and self.nodes > self.contacts + 1

    def bytes_of_state(self, floats: int) -> int:
        """About what the state takes with vectors of `floats`, in bytes, beside Python and numba themselves."""
        flying = min(1.0, (self.latency + 1) * 1.1 / self.slots)
        per_node = MIXING_BYTES + 4 * (floats + 3) * (1 + flying)
        if self.sampled:
            assert self.contacts is not None
            per_node += 4 * self.contacts
        edges = 0 if self.graph is None else 16 * len(self.graph.edges)
        return int(per_node * self.nodes + edges)

    def check_memory(self, floats: int) -> None:
        """Refuse before anything is allocated what would not fit.

        Raises:
            LocalError: the state would take more than `memory`; the message says how much, and what would fit.
        """
        needed = self.bytes_of_state(floats)
        if needed > self.memory:
            fits = int(self.nodes * self.memory / needed)
            raise LocalError(
                f"fleet: {self.nodes:,} nodes with {floats:,} floats each need {needed / 1e9:.2f} GB;"
                f" memory = {self.memory / 1e9:g} GB allows about {fits:,} nodes"
            )


def _check(key: str, value: object, ok: bool, allowed: str) -> None:  # noqa: FBT001
    if not ok:
        raise LocalError(f"fleet: {key} = {value!r}: allowed is {allowed}")
