"""The command that asks the served model."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
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
gossipfl predict windows.npy --coverage 0.9
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
    parser.add_argument(
        "--coverage", type=float, metavar="C", help="say as well what holds the truth with this probability, as 0.9:"
        " an interval for each output, or a set of labels",
    )  # fmt: skip
    given = parser.parse_args(arguments)
    if given.out is not None and given.coverage is not None:
        parser.error("--coverage tells on stdout; leave out --out")
    import numpy as np

    outputs, versions, about = _predicted(Home(given.home), _inputs(given.file), given.coverage)
    if given.out is not None:
        from gossipfl.output.files import write_durably

        file = io.BytesIO()
        np.save(file, np.array(outputs, np.float32), allow_pickle=False)
        write_durably(given.out, file.getvalue())
    if given.json:
        print_json({"outputs": outputs, "version": versions[-1], **({"uncertainty": about} if about else {})})
    else:
        if given.out is None:
            for line in _lines(outputs, about):
                print(line)
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


def _lines(outputs: list[Any], about: dict[str, Any]) -> Iterator[str]:
    """A line for each row: its numbers, each with its interval if there are some, and its set of labels."""
    import numpy as np

    def flat(row: Any) -> list[str]:
        return [shown(value) for value in np.array(row, np.float32).ravel().tolist()]

    for at, row in enumerate(outputs):
        if "lower" in about:
            ends = zip(flat(row), flat(about["lower"][at]), flat(about["upper"][at]), strict=True)
            yield " ".join(f"{value} ({low} to {high})" for value, low, high in ends)
        else:
            labels = f"  {{{', '.join(map(str, about['labels'][at]))}}}" if about else ""
            yield " ".join(flat(row)) + labels


def _predicted(
    home: Home, rows: Array, coverage: float | None
) -> tuple[list[Any], list[dict[str, Any]], dict[str, Any]]:
    """The outputs for `rows`, which models they are of, and what is said of their uncertainty."""
    from gossipfl_nodes.serving.batches import MAX_VALUES

    many = max(1, MAX_VALUES // max(1, rows[0].size))
    outputs: list[Any] = []
    versions: list[dict[str, Any]] = []
    about: dict[str, Any] = {}
    for start in range(0, len(rows), many):
        body = {"inputs": rows[start : start + many].tolist(), "coverage": coverage}
        answer = client.post(home, "/v1/predict", body, timeout=TIMEOUT)
        outputs += answer["outputs"]
        versions.append(answer["version"])
        for name, value in answer.get("uncertainty", {}).items():
            about[name] = about.get(name, []) + value if isinstance(value, list) else value
    return outputs, versions, about
