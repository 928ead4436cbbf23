"""A program for tests: announces devices that don't exist to its LAN, as many as it can, until it is killed.

Its argument is the address of the interface that it does this on.
"""

from __future__ import annotations

import secrets
import socket
import sys

from zeroconf import ServiceInfo
from zeroconf._protocol.outgoing import DNSOutgoing
from zeroconf.const import _FLAGS_AA, _FLAGS_QR_RESPONSE

from gossipfl_nodes.network.discovery.mdns import SERVICE

MDNS = ("224.0.0.251", 5353)


def packet() -> bytes:
    """An announcement of ten devices."""
    out = DNSOutgoing(_FLAGS_QR_RESPONSE | _FLAGS_AA)
    for name in (f"{secrets.token_hex(8)}.{SERVICE}" for _ in range(10)):
        info = ServiceInfo(SERVICE, name, 9444, server="x.local.")
        out.add_answer_at_time(info.dns_pointer(), 0)
        out.add_answer_at_time(info.dns_service(), 0)
    return out.packets()[0]


if __name__ == "__main__":
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as noisy:
        noisy.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(sys.argv[1]))
        noisy.bind(("", MDNS[1]))
        while True:
            noisy.sendto(packet(), MDNS)
