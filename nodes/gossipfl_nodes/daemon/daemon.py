"""The daemon of one device, put together: home, training process, network, peer, driver, control API.

From here one can follow a model vector once around: `training` gives a delta to the `driver`, which hands it to the
core's Peer; the Peer's frames leave by the `network`, and those of others come back the same way.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import structlog
import trio

from gossipfl.errors import LocalError
from gossipfl.protocol.events import Event, Stopping
from gossipfl.protocol.recording.records import Origin
from gossipfl.wire.messages import max_body
from gossipfl_nodes.control.admitting import Admissions
from gossipfl_nodes.control.api import READABLE, api
from gossipfl_nodes.control.exporting import Exports
from gossipfl_nodes.control.orders import Orders
from gossipfl_nodes.control.predicting import Predictions
from gossipfl_nodes.control.view import View
from gossipfl_nodes.control.web.access import Port, listening, token_in
from gossipfl_nodes.control.web.server import serve_all
from gossipfl_nodes.daemon.config import Config, Loaded
from gossipfl_nodes.daemon.driver import Driver
from gossipfl_nodes.daemon.gate import Gate
from gossipfl_nodes.daemon.saver import Saver
from gossipfl_nodes.daemon.telemetry import Telemetry
from gossipfl_nodes.daemon.training import Training
from gossipfl_nodes.disk.home import Home
from gossipfl_nodes.disk.recorder import Recorder
from gossipfl_nodes.disk.store import Store
from gossipfl_nodes.disk.trust import Trust, load_key
from gossipfl_nodes.network import identity
from gossipfl_nodes.network.discovery.bootstrap import keep_meeting
from gossipfl_nodes.network.discovery.bootstrap import read as read_bootstrap
from gossipfl_nodes.network.discovery.mdns import keep_finding
from gossipfl_nodes.network.limits import Limits
from gossipfl_nodes.network.network import Network, open_network
from gossipfl_nodes.observing.diary import Diary
from gossipfl_nodes.observing.logs import Logs
from gossipfl_nodes.page import files as page
from gossipfl_nodes.service.manager import Manager
from gossipfl_nodes.serving.serving import serve_predictions
from gossipfl_topology import TopologyError
from gossipfl_topology import load as load_graph
from gossipfl_topology.live import Fixed, Topology, named
from gossipfl_topology.parameters import is_path

STOP_TIMEOUT = 10.0
"""Seconds for a graceful stop; then it is over anyway."""
EVALUATE_EVERY = 0.25
"""Seconds between two evaluations of the served model, at least."""
EVALUATE_SHARE = 0.1
"""Share of time that evaluating may take from training."""

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, KEPT = -1, -3, 1 << 20
"""Of glibc's malloc.h; and bytes that are freed to be used again rather than given back to the device."""

log = structlog.get_logger("daemon")


async def run(home: Home, loaded: Loaded, logs: Logs, record: Path | None = None) -> None:
    """Run the daemon of `home` until it is stopped by a signal or by the control API.

    Args:
        home: the device's folder.
        loaded: its configuration.
        logs: how it logs.
        record: a new file for what the peer goes through; it lets its reader see what this node learns.

    Raises:
        LocalError: the home, key, configuration, task or network is not usable; the message says which and why.
    """
    _give_back()
    config, socket, rng = loaded.config, home.socket, random.SystemRandom()
    training = Training(config.task, np.random.default_rng(rng.getrandbits(128)))
    key = identity.load(home.key)
    gate = _gate(home, config, key)
    bootstrap, unknown = read_bootstrap((*config.network.bootstrap, *(gate.addresses if gate else ())))
    telemetry, stop, manager = Telemetry(Diary()), trio.Event(), Manager(os.environ)
    # Nothing waits in between: a reader holds its frame until the peer takes it, and its sender waits.
    outbox, inbox = trio.open_memory_channel[Event](0)
    with home.lock(), _port(home, config) as port, contextlib.ExitStack() as stack:
        try:
            await training.start()
            info, schema, initial = await training.introduce()
            settings = config.gossip
            if loaded.origins["gossip.steps"] == "default":
                settings = msgspec.structs.replace(settings, steps=info.steps)
            store = Store(home.state, settings.mesh, config.task.name, schema)
            saved = await trio.to_thread.run_sync(store.load)
            incarnation = home.next_incarnation(int(time.time()), store.incarnation)
            limit = max_body(schema.shared_size)
            async with (
                open_network(
                    key, config.network.listen, outbox, limit, telemetry.refuse,
                    allowed=Limits.of(limit, settings.interval), announce=config.network.announce,
                    secret=gate.secret if gate else None, redeem=gate.redeem if gate else None,
                ) as network,
                inbox,
            ):  # fmt: skip
                origin = Origin(
                    network.id, schema, initial, settings, rng.getrandbits(128), incarnation, network.addresses,
                    bootstrap, _topology(settings.topology, network.id), saved=saved,
                    charter=gate.charter if gate else None,
                )  # fmt: skip
                peer = await trio.to_thread.run_sync(origin.peer)  # a large model takes a second
                recorder = stack.enter_context(Recorder(record, origin)) if record is not None else None
                if saved is not None:
                    log.info("going on from what was saved", age=saved.model.age, peers=len(saved.notes.peers))
                del origin, initial, saved  # as large as the model
                saver = Saver(peer, store, telemetry, config.disk.every)
                driver = Driver(peer, network, training, saver, telemetry, recorder, gate)
                view = View(
                    peer, driver, network, training, telemetry, config.task.name, port.address if port else ""
                )  # fmt: skip
                predictions, exports = Predictions(home.predictions), Exports(home.state, config.task, peer, driver)
                orders = Orders(
                    peer, network, driver, outbox, stop, logs, partial(_topology, me=network.id),
                    trains=config.task.trains,
                )  # fmt: skip
                admissions = Admissions(gate, view, driver, outbox)
                log.info("listening", id=peer.me, addresses=" ".join(view.addresses))
                async with trio.open_nursery() as nursery:
                    await nursery.start(_heed_signals, stop)  # who hears of this daemon may stop it at once
                    await nursery.start(
                        serve_all, api(view, orders, admissions, predictions, exports, telemetry.diary, logs), socket,
                        port,
                    )  # fmt: skip
                    await nursery.start(serve_predictions, home.predictions, config.task, peer, driver)
                    nursery.start_soon(view.remember)
                    nursery.start_soon(_evaluate, driver, training, telemetry)
                    nursery.start_soon(_stop_driver, stop, outbox, nursery.cancel_scope, manager)
                    nursery.start_soon(manager.keep_told, driver.steady)
                    nursery.start_soon(_discover, network, config, gate, unknown)
                    await driver.run(inbox, outbox, trains=config.task.trains)
                    nursery.cancel_scope.cancel()
        finally:
            with trio.CancelScope(shield=True):
                await training.stop()
    log.info("stopped")


@contextlib.contextmanager
def _port(home: Home, config: Config) -> Iterator[Port | None]:
    """Where the control API answers over TCP, if it does."""
    if not config.control.listen:
        yield None
        return
    with listening(config.control.listen) as bound:
        free = {*page.PATHS, *(READABLE if config.control.readable else ())}
        yield Port(bound, token_in(home.token), free)


def _gate(home: Home, config: Config, key: bytes) -> Gate | None:
    """What keeps strangers out; None if the mesh is open."""
    if config.network.open:
        log.warning(
            "this mesh is open: whoever can reach a device and knows the mesh's name can join, see models and change"
            " them; network.open = false and invitations keep strangers out"
        )
        return None
    me = identity.id_of(home.key)
    trust = Trust(home.trust, me, config.gossip.mesh)
    return Gate(me, key, config.gossip.mesh, load_key(home.mesh_key), trust)


async def _discover(network: Network, config: Config, gate: Gate | None, addresses: tuple[str, ...]) -> None:
    """Meet whoever is at `addresses`, and those of the mesh who are on the LAN."""
    async with trio.open_nursery() as nursery:
        for address in addresses:
            nursery.start_soon(keep_meeting, network, address)
        if config.network.mdns:
            nursery.start_soon(keep_finding, network, gate.secret if gate else config.gossip.mesh.encode())


def _give_back() -> None:
    """Have what a large model's vectors took given back at once: glibc gets used to them, and keeps 64 MB for each."""
    with contextlib.suppress(AttributeError):  # another libc, which does not
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_THRESHOLD, KEPT)
        libc.mallopt(M_TRIM_THRESHOLD, KEPT)


async def _stop_driver(
    stop: trio.Event, outbox: trio.MemorySendChannel[Event], scope: trio.CancelScope, manager: Manager
) -> None:
    await stop.wait()
    log.info("stopping")
    manager.tell("STOPPING=1")
    scope.deadline = trio.current_time() + STOP_TIMEOUT / 2
    deadline = threading.Timer(STOP_TIMEOUT, os._exit, [1])
    deadline.daemon = True
    deadline.start()
    await outbox.send(Stopping())


async def _heed_signals(stop: trio.Event, *, task_status: Any = trio.TASK_STATUS_IGNORED) -> None:
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        task_status.started()
        async for number in signals:
            if stop.is_set():
                os._exit(128 + number)
            stop.set()


async def _evaluate(driver: Driver, training: Training, telemetry: Telemetry) -> None:
    """Keep the served model's metrics fresh, whenever it has changed.

    Not before the first training: what a task does first is its slowest, and would be taken for what evaluating costs.
    """
    evaluated = (0, 0)
    while True:
        if evaluated != (moved := (training.steps, telemetry.merges)):
            evaluated = moved
            try:
                telemetry.metrics = await training.evaluate(driver.copy_served)
            except LocalError as error:
                log.warning("evaluation failed", reason=str(error))
        await trio.sleep(max(EVALUATE_EVERY, training.evaluation_seconds / EVALUATE_SHARE))


def _topology(text: str, me: str) -> Topology:
    """The topology that `text` names; in a graph file, nodes have ids for names."""
    try:
        return Fixed.of(text, load_graph(text).graph, me) if is_path(text) else named(text)
    except TopologyError as error:
        raise LocalError(f"gossip.topology = {text!r}: {error}") from error
