"""Files that survive: written whole or not at all, whatever happens meanwhile."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from collections.abc import Iterable
from pathlib import Path

from gossipfl.errors import LocalError


def write_durably(
    path: Path, content: bytes | Iterable[bytes | memoryview], mode: int = 0o644, temporary: Path | None = None
) -> None:
    """Write `content` to `path`: a temporary file, fsync, rename, fsync of the folder. A torn file never wins.

    Args:
        path: the file.
        content: all of it, or its parts, each of which is written before the next one is asked for.
        mode: of the file, whatever the umask.
        temporary: the temporary file, in the same folder, for whoever is the only one to write there: what a write that
            was cut off has left, the next one takes over. By default each write has one of its own.

    Raises:
        LocalError: the disk is full, the folder can't be written, or the like; `path` is as it was.
    """
    written = None
    try:
        descriptor, written = _opened(path, temporary)
        try:
            os.fchmod(descriptor, mode)
            for part in (content,) if isinstance(content, bytes) else content:
                _write_all(descriptor, part)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(written, path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        if written is not None:
            with contextlib.suppress(OSError):  # a full disk can do with its bytes
                os.unlink(written)
        raise LocalError(f"{path}: can't be written: {error.strerror or error}") from error


def read_private(path: Path, missing: str, fix: str) -> bytes:
    """What is in `path`, which nobody but its owner may read.

    Raises:
        LocalError: it is not there, and the message says `missing`; it can't be read; or others may read it, and the
            message says what is the `fix`.
    """
    try:
        mode, content = stat.S_IMODE(path.stat().st_mode), path.read_bytes()
    except FileNotFoundError:
        raise LocalError(f"{path}: {missing}") from None
    except OSError as error:
        raise LocalError(f"{path}: can't be read: {error.strerror}") from error
    if mode & 0o077:
        raise LocalError(f"{path}: mode {mode:04o} lets others read it; {fix}")
    return content


def _opened(path: Path, temporary: Path | None) -> tuple[int, Path]:
    if temporary is not None:
        return os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), temporary
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    return descriptor, Path(name)


def _write_all(descriptor: int, part: bytes | memoryview) -> None:
    while len(part):
        part = part[os.write(descriptor, part) :]
