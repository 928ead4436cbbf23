"""The files of the page, as operations of the control API.

They are read once, by names that stand here, so no request reaches the disk; they hold nothing of a device. Knows
nothing of what they do.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

from starlette.responses import Response

from gossipfl_nodes.control.web.operations import Operation

FOLDER = Path(__file__).parent
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
FILES = {f"/{file.name}": file for file in sorted(FOLDER.iterdir()) if file.suffix in TYPES and file.stem != "index"}
FILES |= {f"/show/{file.name}": file for file in sorted((FOLDER / "show").iterdir()) if file.suffix in TYPES}
FILES |= {"/": FOLDER / "index.html"}
PATHS = tuple(FILES)


def operations() -> list[Operation]:
    """One for each file."""
    return [Operation("GET", path, _reading(file), media=(TYPES[file.suffix],)) for path, file in FILES.items()]


def _reading(file: Path) -> Callable[[], Awaitable[Response]]:
    content, kind = file.read_bytes(), TYPES[file.suffix]

    async def read() -> Response:
        """A file of the page."""
        return Response(content, media_type=kind, headers={"Cache-Control": "no-cache"})

    return read
