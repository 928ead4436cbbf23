"""Who talks to whom in decentralized learning. Pure: no I/O, no clock, no ambient randomness."""

from gossipfl_topology.neighbours import TOPOLOGIES as TOPOLOGIES
from gossipfl_topology.neighbours import chance as chance
from gossipfl_topology.neighbours import neighbours as neighbours
