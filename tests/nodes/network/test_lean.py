import subprocess
import sys

import pytest

from gossipfl_nodes.network import lean

CODE = """
import sys
import gossipfl_nodes.network.network
left = [name for name in sys.modules if any(name == one or name.startswith(one + ".") for one in {unused!r})]
assert not left, left
import rich.traceback
import httpx
assert issubclass(httpx.ConnectError, Exception)
from libp2p.security.tls.transport import TLSTransport
assert TLSTransport.__module__ == "libp2p.security.tls.transport"
"""


def test_a_daemon_leaves_out_what_it_never_uses_and_others_still_get_it() -> None:
    code = CODE.format(unused=lean.UNUSED + lean.OPTIONAL)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_within_it_names_can_be_inherited_from_and_never_made() -> None:
    sys.modules.pop("miniupnpc", None)
    with lean.left_out():
        import miniupnpc  # type: ignore[import-not-found]
    assert "miniupnpc" not in sys.modules

    class Heir(miniupnpc.UPnP):  # type: ignore[misc]
        pass

    with pytest.raises(RuntimeError, match="leaves out"):
        Heir()
    with pytest.raises(AttributeError):
        miniupnpc.__wrapped__  # noqa: B018
