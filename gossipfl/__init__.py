"""gossipfl: asynchronous, serverless, peer-to-peer learning. The protocol and the learning core: no I/O, no clock."""
