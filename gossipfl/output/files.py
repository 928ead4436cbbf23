"""Files that survive: written whole or not at all, whatever happens meanwhile."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

from gossipfl.errors import LocalError


def write_durably(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Write `content` to `path`: a temporary file, fsync, rename, fsync of the folder. A torn file never wins.

    Raises:
        LocalError: the disk is full, the folder can't be written, or the like; `path` is as it was.
    """
    temporary = None
    try:
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with open(descriptor, "wb") as file:
            os.fchmod(descriptor, mode)
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        os.replace(temporary, path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        if temporary is not None:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
        raise LocalError(f"{path}: can't be written: {error.strerror or error}") from error
