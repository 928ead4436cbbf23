"""Who talks to whom in decentralized learning. Pure: no clock, no ambient randomness; one module reads graph files.

Graphs and schedules by name (`build`, `arrays`, `schedule`), mixing weights (`mixing_matrix`), what they are worth
(`spectral_gap`, `measures`), graph files (`load`), and what a daemon runs: from a live view to neighbours (`live`).
"""

from gossipfl_topology import live as live
from gossipfl_topology.catalogue import GRAPHS as GRAPHS
from gossipfl_topology.catalogue import SCHEDULES as SCHEDULES
from gossipfl_topology.catalogue import arrays as arrays
from gossipfl_topology.catalogue import build as build
from gossipfl_topology.catalogue import schedule as schedule
from gossipfl_topology.errors import TopologyError as TopologyError
from gossipfl_topology.files import load as load
from gossipfl_topology.graph import Graph as Graph
from gossipfl_topology.measures.spectrum import spectral_gap as spectral_gap
from gossipfl_topology.mixing.rules import mixing_matrix as mixing_matrix
