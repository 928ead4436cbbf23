"""With what weights neighbours average: from a graph to a mixing matrix W, one gossip round being x ← W x.

Knows graphs, and no schedule that changes them.
"""

from gossipfl_topology.mixing.fdla import fdla as fdla
from gossipfl_topology.mixing.rules import RULES as RULES
from gossipfl_topology.mixing.rules import mixing_matrix as mixing_matrix
from gossipfl_topology.mixing.rules import mixing_weights as mixing_weights
from gossipfl_topology.mixing.trust import influence as influence
from gossipfl_topology.mixing.trust import trust_matrix as trust_matrix
