"""The service manager: told when the daemon is ready, that it is still well, and that it stops.

Speaks systemd's protocol, a datagram of NAME=value to the socket in NOTIFY_SOCKET (sd_notify(3)); without that variable
there is nobody to tell. The watchdog is fed only while the peer can be looked at: a daemon whose event loop runs, but
whose peer is stuck in an event for ever, is one to be restarted. Knows no peer.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping

import structlog
import trio

log = structlog.get_logger("service")


class Manager:
    """Whoever has started this process as a service, by what stands in the environment; maybe nobody."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        name = environment.get("NOTIFY_SOCKET", "")
        self._address = "\0" + name[1:] if name.startswith("@") else name if name.startswith("/") else ""
        microseconds, process = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID")
        ours = bool(self._address) and process in (None, str(os.getpid()))  # a child inherits what is its parent's
        self.timeout = int(microseconds) / 1e6 if ours and microseconds.isdecimal() else 0.0
        """Seconds without a sign of life until the manager kills this process; 0: it never does."""

    def tell(self, state: str) -> None:
        """Tell it `state`, as READY=1. If that fails, the daemon goes on without."""
        if self._address:
            try:
                with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sending:
                    sending.sendto(state.encode(), self._address)
            except OSError as error:
                log.warning("the service manager can't be told", state=state, reason=error.strerror)

    async def keep_told(self, steady: trio.Lock) -> None:
        """Say READY=1, and from then on, whenever `steady` can be had, that this process is well."""
        self.tell("READY=1")
        while self.timeout:
            async with steady:
                self.tell("WATCHDOG=1")
            await trio.sleep(self.timeout / 2)  # as sd_watchdog_enabled(3) recommends
