"""Exports by way of the control API: the served model as a file, made by a process for just that."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from http import HTTPStatus
from importlib.metadata import version as version_of
from pathlib import Path
from typing import IO, Any

import msgspec
import trio
from starlette.responses import Response

from gossipfl.errors import LocalError
from gossipfl.protocol.peer import Peer
from gossipfl_nodes.control.answers import Exporting
from gossipfl_nodes.control.view import version
from gossipfl_nodes.control.web.problems import Refusal
from gossipfl_nodes.daemon.config import TaskConfig
from gossipfl_nodes.daemon.driver import Driver
from gossipfl_nodes.daemon.process import TaskProcess, copy
from gossipfl_nodes.serving.exporter import Export

PATIENCE = 110.0
"""Seconds that an export may take: torch is loaded for it, and traces the module."""
REPORT = "Gossipfl-Export"
"""The header that tells, in JSON, which model it is and what was found when the file was checked."""
CHUNK = 1 << 20
MEDIA_TYPE = "application/octet-stream"


class Exports:
    """Of the model that `peer` serves; on their way, files are in `folder`, which nobody else may read."""

    def __init__(self, folder: Path, task: TaskConfig, peer: Peer, driver: Driver) -> None:
        self._folder, self._task, self._peer, self._driver = folder, task, peer, driver
        self._turn = trio.Lock()

    async def export(self, body: Exporting) -> Response:
        """The served model as a file of the given format, with this device's personal values; as a header, about it."""
        if body.int8 and body.format != "onnx":
            raise LocalError("int8 = true: allowed with format = 'onnx' only")
        async with self._turn:
            file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115 - the answer closes it
            try:
                with trio.move_on_after(PATIENCE):
                    return FileResponse(file, await self._export(body, file.fileno()))
                raise Refusal(HTTPStatus.GATEWAY_TIMEOUT, f"not within {PATIENCE:g} s")
            except BaseException:
                file.close()
                raise

    async def _export(self, body: Exporting, descriptor: int) -> dict[str, str]:
        """Write into `descriptor`; what to tell of it."""
        peer = self._peer
        process = TaskProcess(
            "exporting", "gossipfl_nodes.serving.exporter", self._task, trains=False, files=(descriptor,)
        )
        try:
            await process.begin()
            async with self._driver.steady:
                which = version(peer)
                await copy(process.slot, peer.replica.full_served())
            about = {
                "mesh": peer.settings.mesh,
                "task": self._task.name,
                "fingerprint": peer.fingerprint.hex(),
                "gossipfl": version_of("gossipfl"),
                **{name: str(value) for name, value in msgspec.to_builtins(which).items()},
            }
            await process.ask(Export(body.format, body.int8, about))
            answer = await process.receive()
            if answer.error:
                raise LocalError(answer.error)
        finally:
            with trio.CancelScope(shield=True):
                await process.stop()
        return {REPORT: msgspec.json.encode({"version": which, **msgspec.json.decode(answer.report)}).decode()}


class FileResponse(Response):
    """All of `file`, a megabyte at a time, and closes it."""

    def __init__(self, file: IO[bytes], headers: Mapping[str, str]) -> None:
        self._file = file
        super().__init__(
            headers={**headers, "Content-Length": str(os.fstat(file.fileno()).st_size)}, media_type=MEDIA_TYPE
        )

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:  # noqa: ARG002 - ASGI has it
        """As ASGI has it."""
        with self._file:
            self._file.seek(0)
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            while chunk := await trio.to_thread.run_sync(self._file.read, CHUNK):
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body"})
