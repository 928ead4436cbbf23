"""py-libp2p and structlog without what this daemon never uses: half the time to import them, a third less memory.

libp2p imports every transport and helper that it has. While this module imports it, the packages below are replaced by
empty ones, whose names stand for a class that can be inherited from, but not made. Afterwards they are as always for
whoever else imports them. Import it before anything of libp2p and before structlog, or it does nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, MutableSequence
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

UNUSED = (
    "aioquic", "httpx", "miniupnpc", "prometheus_client", "requests", "zeroconf",
    "libp2p.relay", "libp2p.security.tls",
    "libp2p.transport.quic", "libp2p.transport.webrtc", "libp2p.transport.websocket",
)  # fmt: skip
"""QUIC, HTTP, UPnP, relays, TLS: links here are TCP with Noise. mDNS is of our own, imported where it is used."""
OPTIONAL = ("rich",)
"""structlog draws tracebacks with it if it is there."""


class Absent:
    """Something of a package that was left out."""

    def __init__(self, *_: object, **__: object) -> None:
        raise RuntimeError("libp2p uses something that gossipfl_nodes.network.lean leaves out")


class _Empty(ModuleType):
    __path__: MutableSequence[str] = []  # noqa: RUF012 - a package is what has one

    def __getattr__(self, name: str) -> type[Absent]:
        if name.startswith("__"):
            raise AttributeError(name)
        return Absent


class _Finder(MetaPathFinder, Loader):
    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:  # noqa: ARG002
        if name in OPTIONAL:
            raise ModuleNotFoundError(name)
        return ModuleSpec(name, self, is_package=True) if _unused(name) else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _Empty(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        pass


def _unused(name: str) -> bool:
    return any(name == one or name.startswith(f"{one}.") for one in UNUSED)


@contextmanager
def left_out() -> Iterator[None]:
    """Within, importing what is unused gives empty modules."""
    finder = _Finder()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        for name in [name for name, module in sys.modules.items() if isinstance(module, _Empty)]:
            del sys.modules[name]


with left_out():
    import libp2p
    import libp2p.host.basic_host
    import libp2p.security.noise.transport
    import libp2p.stream_muxer.yamux.yamux
    import libp2p.utils.address_validation  # noqa: F401
    import structlog  # noqa: F401
