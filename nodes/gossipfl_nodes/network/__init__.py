"""The network: libp2p mended, links to peers, frames in and out."""
