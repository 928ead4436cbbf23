"""What a topology is worth: how fast it averages, how far apart its nodes are, and what a round costs.

Knows graphs and matrices, no builder or schedule.
"""

from gossipfl_topology.measures.consensus import Consensus as Consensus
from gossipfl_topology.measures.consensus import fresh as fresh
from gossipfl_topology.measures.consensus import masked as masked
from gossipfl_topology.measures.consensus import rounds_to as rounds_to
from gossipfl_topology.measures.consensus import simulate as simulate
from gossipfl_topology.measures.paths import components as components
from gossipfl_topology.measures.paths import connected as connected
from gossipfl_topology.measures.paths import cut_edges as cut_edges
from gossipfl_topology.measures.paths import diameter as diameter
from gossipfl_topology.measures.paths import diameter_bound as diameter_bound
from gossipfl_topology.measures.spectrum import mixing_time as mixing_time
from gossipfl_topology.measures.spectrum import slem as slem
from gossipfl_topology.measures.spectrum import spectral_gap as spectral_gap
