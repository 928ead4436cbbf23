"""The view: what a running daemon shows to the control API. It only looks, and only while the peer holds still."""

from __future__ import annotations

import hashlib
import math
import os
import time
from typing import Any

import msgspec
import trio
from starlette.responses import Response

from gossipfl.membership.charter import Credential
from gossipfl.model.schema import Vector
from gossipfl.protocol.neighbour import Hearsay, Neighbour
from gossipfl.protocol.peer import Peer
from gossipfl_nodes.control.answers import (
    Budget,
    Curves,
    Device,
    Mesh,
    Model,
    PeerRow,
    Status,
    TensorRow,
    Version,
    Wiring,
)
from gossipfl_nodes.daemon.driver import Driver
from gossipfl_nodes.daemon.telemetry import Telemetry
from gossipfl_nodes.daemon.training import Training
from gossipfl_nodes.network.network import Network
from gossipfl_nodes.observing import metrics
from gossipfl_nodes.observing.history import History


class View:
    """Answers of the control API about one daemon."""

    def __init__(
        self, peer: Peer, driver: Driver, network: Network, training: Training, telemetry: Telemetry, task: str,
        control: str,
    ) -> None:  # fmt: skip
        self._peer, self._driver, self._network = peer, driver, network
        self._training, self._telemetry, self._task, self._control = training, telemetry, task, control
        self._history = History()
        self._hashing = trio.Lock()

    @property
    def addresses(self) -> list[str]:
        """Where this device can be reached, with its id: what others bootstrap from."""
        return [f"{address}/p2p/{self._peer.me}" for address in self._network.addresses]

    def credential(self, peer: str) -> Credential:
        """What `peer` has shown; nothing if it is not known."""
        record = self._peer.neighbourhood.known.get(peer)
        return (record.credential if record is not None else None) or ()

    async def status(self) -> Status:
        """What the daemon is doing, and has done since it was started."""
        async with self._driver.steady:
            return self._status()

    async def peers(self) -> list[PeerRow]:
        """The peers that the daemon knows."""
        async with self._driver.steady:
            return self._rows()

    async def mesh(self) -> Mesh:
        """The status and the peers, at one moment."""
        async with self._driver.steady:
            return Mesh(time.time(), self._peer.me, [Device(self._peer.me, "", self._status(), self._rows())])

    async def history(self) -> dict[str, Curves]:
        """How this device has learnt since it was started, by its id."""
        return {self._peer.me: Curves(self._history.times, self._history.columns)}

    async def remember(self) -> None:
        """Keep the history."""
        while True:
            values: dict[str, float | None] = {
                "loss": _number(self._training.loss),
                "bytes_sent": self._network.bytes_sent,
                "bytes_received": self._network.bytes_received,
            }
            values |= {f"metrics.{name}": value for name, value in self._metrics().items()}
            self._history.add(round(time.time(), 1), values)
            await trio.sleep(self._history.every)

    async def model(self) -> Model:
        """The model that predictions come from."""
        async with self._hashing:  # a large one takes a second, once at a time
            async with self._driver.steady:
                peer, schema = self._peer, self._peer.replica.schema
                served = peer.replica.served.lend()
                found = Model(
                    version=version(peer),
                    published=self._telemetry.publishes,
                    merged=self._telemetry.merges,
                    metrics=self._metrics(),
                    sha256="",
                    parameters=schema.size,
                    shared=schema.shared_size,
                    fingerprint=peer.fingerprint.hex(),
                    tensors=[TensorRow(tensor.name, tensor.shape, tensor.personal) for tensor in schema.tensors],
                )
            return msgspec.structs.replace(found, sha256=await trio.to_thread.run_sync(_sha256, served))

    async def metrics(self) -> Response:
        """The status in the text format that Prometheus reads."""
        status: dict[str, Any] = msgspec.to_builtins(await self.status())
        return Response(metrics.exposition(status), media_type=metrics.CONTENT_TYPE)

    async def topology(self) -> Wiring:
        """Who gets a publish."""
        async with self._driver.steady:
            return Wiring(self._peer.contacts.topology.name)

    def _metrics(self) -> dict[str, float | None]:
        return {name: _number(value) for name, value in self._telemetry.metrics.items()}

    def _status(self) -> Status:
        peer, telemetry, now = self._peer, self._telemetry, trio.current_time()
        return Status(
            id=peer.me,
            pid=os.getpid(),
            addresses=self.addresses,
            control=self._control,
            mesh=peer.settings.mesh,
            open=peer.members is None,
            task=self._task,
            topology=peer.contacts.topology.name,
            state="learning" if peer.joining is None else "joining",
            paused=peer.paused,
            incarnation=peer.incarnation,
            seq=peer.seq,
            age=peer.replica.age,
            steps=self._training.steps,
            loss=_number(self._training.loss),
            metrics=self._metrics(),
            uptime=now - telemetry.started,
            joined_after=telemetry.joined_after,
            rebases=telemetry.rebases,
            publishes=telemetry.publishes,
            merges=telemetry.merges,
            longest_gap=max(telemetry.longest_gap, telemetry.gap(now)),
            refused=telemetry.refused,
            failures=telemetry.failures,
            last_failure=telemetry.last_failure,
            saved_at=telemetry.saved_at,
            save_error=telemetry.save_error,
            peers=len(peer.neighbourhood.live()),
            mesh_size=round(peer.census.size),
            missing=len(peer.reach.missing),
            partition=peer.reach.partition,
            bytes_sent=self._network.bytes_sent,
            bytes_received=self._network.bytes_received,
            budget=self._budget(self._driver.now()),
        )

    def _budget(self, now: float) -> Budget | None:
        budget = self._peer.budget
        return Budget(budget.limit, budget.period, budget.spent, budget.left(now)) if budget.limited else None

    def _rows(self) -> list[PeerRow]:
        now = trio.current_time()
        return [self._row(name, neighbour, now) for name, neighbour in self._peer.neighbourhood.known.items()]

    def _row(self, name: str, neighbour: Neighbour | Hearsay, now: float) -> PeerRow:
        link, telemetry = self._network.links.get(name), self._telemetry
        merged_at = telemetry.peer_merged_at.get(name)
        behind = (self._peer.replica.age - neighbour.age) / self._peer.pace.progress
        return PeerRow(
            id=name,
            live=neighbour.live,
            addresses=neighbour.addresses,
            incarnation=neighbour.incarnation,
            seq=neighbour.seq,
            age=neighbour.age,
            latency=link.round_trip if link else None,
            staleness=behind if neighbour.incarnation else None,
            merges=telemetry.peer_merges.get(name, 0),
            merged=None if merged_at is None else now - merged_at,
            refused=telemetry.peer_refused.get(name, 0),
            strikes=round(neighbour.strikes),
            bytes_sent=link.bytes_sent if link else 0,
            bytes_received=link.bytes_received if link else 0,
        )


def version(peer: Peer) -> Version:
    """Which model `peer` has now."""
    return Version(peer.incarnation, peer.seq, peer.replica.age)


def _sha256(vector: Vector) -> str:
    return hashlib.sha256(vector.astype("<f4", copy=False).data).hexdigest()


def _number(value: float) -> float | None:
    """JSON has no NaN and no infinity."""
    return value if math.isfinite(value) else None
