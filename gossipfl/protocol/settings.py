"""The knobs of the protocol: what each means, which way to turn it, and what that costs."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from gossipfl.codec.codec import codec
from gossipfl.errors import LocalError
from gossipfl.mixing.momentum import STRATEGIES as MOMENTA
from gossipfl.mixing.staleness import STRATEGIES
from gossipfl.protocol.budget import Budget
from gossipfl_topology import TopologyError
from gossipfl_topology.live import ROLES, named
from gossipfl_topology.parameters import is_path


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """How one peer gossips. Defaults suit a LAN of small devices.

    Raises:
        LocalError: a value out of its range; the message names it and what is allowed.
    """

    mesh: Annotated[str, Meta(description="The mesh's name; peers of another name are refused.")] = "gossipfl"
    interval: Annotated[
        float,
        Meta(description="Seconds between two publishes, ±10 %. Shorter learns sooner and costs bytes in proportion."),
    ] = 1.0
    topology: Annotated[
        str,
        Meta(
            description="Who gets a publish: k-out:k=3 (3 fresh peers each time; more mix faster and cost bytes in"
            " proportion), regular:k=4, ring, exponential, complete, hierarchical, or a graph file of peer ids."
        ),
    ] = "k-out:k=3"
    role: Annotated[
        str,
        Meta(description="This node's level in a hierarchical topology: sensor (or nothing), gateway, or district."),
    ] = ""
    steps: Annotated[
        int,
        Meta(
            description="Local steps per publish; by default what suits the task. More learns more per byte, until"
            " skewed shards drift apart."
        ),
    ] = 20
    codec: Annotated[
        str,
        Meta(
            description="How many bits a coordinate is sent with (int8, int4, int2, sign, float16, …), and after a plus"
            " which are sent (all, round-robin:5, top-k:0.2, …). A link uses the cheaper codec of its two ends."
        ),
    ] = "int4+round-robin:5"
    budget: Annotated[
        str,
        Meta(
            description='Bytes that may be sent in any such time, as "50 MB/day"; nothing: no limit. Headers of the'
            " network come on top."
        ),
    ] = ""
    staleness: Annotated[
        str, Meta(description="What an update of a less advanced model counts: hinge, const, poly, or drop.")
    ] = "hinge"
    momentum: Annotated[
        str,
        Meta(description="Going on in the direction of the mesh: none, or quasi-global. Costs no bytes."),
    ] = "quasi-global"
    rate_correction: Annotated[
        bool,
        Meta(description="Give slow devices as much say as fast ones: true or false. Bad where speeds differ much."),
    ] = False

    def __post_init__(self) -> None:
        _check("mesh", self.mesh, 0 < len(self.mesh) <= 64, "1 to 64 characters")
        _check("interval", self.interval, 0.05 <= self.interval <= 86_400, "0.05 to 86400 seconds")
        self._check_topology()
        _check("role", self.role, self.role in ("", *ROLES), f"nothing, or one of {', '.join(ROLES)}")
        _check("steps", self.steps, 1 <= self.steps <= 100_000, "1 to 100000")
        codec(self.codec)
        Budget(self.budget)
        _check("momentum", self.momentum, self.momentum in MOMENTA, f"one of {', '.join(MOMENTA)}")
        _check("staleness", self.staleness, self.staleness in STRATEGIES, f"one of {', '.join(STRATEGIES)}")

    def _check_topology(self) -> None:
        if not is_path(self.topology):
            try:
                named(self.topology)
            except TopologyError as error:
                raise LocalError(f"topology = {self.topology!r}: {error}") from None


def _check(key: str, value: object, ok: bool, allowed: str) -> None:  # noqa: FBT001
    if not ok:
        raise LocalError(f"{key} = {value!r}: allowed is {allowed}")
