"""The command that asks the served model."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gossipfl.cli import Exit
from gossipfl.errors import LocalError
from gossipfl.output.terminal import print_json, shown
from gossipfl_nodes.commands import client, options
from gossipfl_nodes.disk.home import Home

PREDICT_EXAMPLES = """
gossipfl predict windows.npy --out forecasts.npy
echo '[[0.1, 0.2]]' | gossipfl predict - --json
"""
if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[np.float32]

TIMEOUT = 90.0
"""Seconds: longer than the daemon takes to give up."""
NPY = b"\x93NUMPY"


class BadInputs(LocalError):  # noqa: N818 - as an exit status names it
    """What was given can't be predicted from."""

    exit_status = Exit.BAD_DATA


def predict(arguments: list[str]) -> int:
    """Predict from the model that this device's daemon serves; inputs as .npy, or as nested lists in JSON."""
    parser = options.parser("predict", predict.__doc__, PREDICT_EXAMPLES, json=True)
    parser.add_argument("file", metavar="FILE|-", help="inputs, one row for each; - reads them from stdin")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the outputs into this .npy file")
    given = parser.parse_args(arguments)
    import numpy as np

    outputs, versions = _predicted(Home(given.home), _inputs(given.file))
    if given.out is not None:
        from gossipfl.output.files import write_durably

        file = io.BytesIO()
        np.save(file, np.array(outputs, np.float32), allow_pickle=False)
        write_durably(given.out, file.getvalue())
    if given.json:
        print_json({"outputs": outputs, "version": versions[-1]})
    else:
        if given.out is None:
            for row in outputs:
                print(" ".join(map(shown, np.array(row, np.float32).ravel().tolist())))
        names = dict.fromkeys(f"{version['incarnation']}.{version['seq']}" for version in versions)
        print(
            f"model {' to '.join([*names][:: max(1, len(names) - 1)])}, age {shown(versions[-1]['age'])}",
            file=sys.stderr,
        )
    return Exit.OK


def _inputs(name: str) -> Array:
    """The rows in a file; never unpickled."""
    import numpy as np

    try:
        content = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
        is_npy = content.startswith(NPY)
        rows: npt.NDArray[Any] = (
            np.load(io.BytesIO(content), allow_pickle=False) if is_npy else np.array(json.loads(content))
        )
    except OSError as error:
        raise BadInputs(f"{name}: can't be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise BadInputs(f"{name}: neither .npy nor JSON: {error}") from error
    if rows.dtype.kind not in "iufb" or not rows.ndim or not rows.size:
        found = f"{rows.dtype} of shape {rows.shape}"
        raise BadInputs(f"{name}: {found}; allowed are numbers of shape (n, …), one row for each input")
    return rows.astype(np.float32)


def _predicted(home: Home, rows: Array) -> tuple[list[Any], list[dict[str, Any]]]:
    """The outputs for `rows`, and which models they are of."""
    from gossipfl_nodes.serving.batches import MAX_VALUES

    many = max(1, MAX_VALUES // max(1, rows[0].size))
    outputs, versions = [], []
    for start in range(0, len(rows), many):
        body = {"inputs": rows[start : start + many].tolist()}
        answer = client.post(home, "/v1/predict", body, timeout=TIMEOUT)
        outputs += answer["outputs"]
        versions.append(answer["version"])
    return outputs, versions
