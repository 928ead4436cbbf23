"""The daemon: libp2p, disk, training process, control API. The only place besides the simulator that drives peers."""
