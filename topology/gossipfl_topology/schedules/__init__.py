"""Topologies that change from round to round: each function gives the mixing matrices of one period, one per round.

In a round x ← W x: row i of W says how node i combines its own value and those that it hears.
"""

from gossipfl_topology.schedules.base import base as base
from gossipfl_topology.schedules.epidemic import el_local as el_local
from gossipfl_topology.schedules.epidemic import el_oracle as el_oracle
from gossipfl_topology.schedules.k_out import k_out as k_out
from gossipfl_topology.schedules.matching import matching as matching
from gossipfl_topology.schedules.one_peer_exponential import one_peer_exponential as one_peer_exponential
