"""Test vectors of the wire format, for other implementations: `python -m docs.making.vectors` writes them.

Every message, every codec, hashes, signatures and the cipher, made by the code that daemons run. A test compares the
file with what that code makes now, so a change of the format can't go unnoticed.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from gossipfl.codec import codec
from gossipfl.codec.codec import Delta
from gossipfl.codec.coordinates import All, Bitmap, Coordinates, Gaps, Seeded, Strided, written
from gossipfl.codec.quantisers import QUANTISERS, quantiser, values
from gossipfl.kernels import numpy as kernel
from gossipfl.membership.charter import Charter, Members
from gossipfl.membership.ids import id_of
from gossipfl.membership.rumours import Rumour, Standing
from gossipfl.model.bases import name_of
from gossipfl.model.schema import Schema, Tensor, Vector
from gossipfl.wire import messages as msg
from gossipfl.wire.frames import KEEP_ALIVE, parts
from gossipfl_nodes.network import identity, pnet, ticket

FILE = Path(__file__).parents[1] / "reference" / "vectors.json"
SEEDS = {"founder": bytes(range(32)), "device": bytes(range(32, 64))}
MESH = "kitchen"
ADDRESS = "/ip4/192.0.2.7/tcp/9444"
SIZE = 300
"""Coordinates of the vectors here: two blocks, and no multiple of eight."""


def vectors() -> dict[str, Any]:
    """All of them; bytes are written in hex."""
    return {
        "keep_alive": KEEP_ALIVE.hex(),
        "hashes": list(_hashes()),
        "deltas": list(_deltas()),
        "messages": list(_messages()),
        "signatures": list(_signatures()),
        "cipher": _cipher(),
        "ticket": _ticket(),
    }


def _hashes() -> Iterator[dict[str, Any]]:
    schema = Schema([Tensor("w", (2, 3)), Tensor("b", ()), Tensor("mine", (4,), personal=True)])
    shared = [(tensor.name, tensor.shape) for tensor in schema.tensors if not tensor.personal]
    yield {"of": "schema", "bytes": msgspec.msgpack.encode(shared).hex(), "hash": schema.fingerprint.hex()}
    base = np.array([0, 1, -0.5, 1e-3], np.float32)
    yield {"of": "base", "bytes": base.astype("<f4").tobytes().hex(), "hash": name_of(base).hex()}


def _x() -> Vector:
    """Multiples of ¼ up to 31¾, which every quantiser's step divides, or nearly."""
    return ((np.arange(SIZE) * 37 % 255 - 127) / 4).astype(np.float32)


def _deltas() -> Iterator[dict[str, Any]]:
    indices = np.flatnonzero(np.arange(SIZE) * 7 % 11 == 0)
    spots: dict[str, Coordinates] = {
        "every seventh": Strided(3, SIZE, 7),
        "a range": Strided(10, 20, 1),
        "bitmap": Bitmap(packed=False, bits=np.packbits(np.isin(np.arange(SIZE), indices)).tobytes()),
        "gaps": Gaps(bytes([3, 0, 0x80 | 5, 1, 9])),
        "seeded": Seeded(12345, 2**31),
        "the shorter of bitmap and gaps": written(indices, SIZE),
    }
    for name in QUANTISERS:
        yield _delta(f"{name}, all", name, All())
    for about, where in spots.items():
        yield _delta(f"float16, {about}", "float16", where)


def _delta(about: str, name: str, where: Coordinates) -> dict[str, Any]:
    x, base = _x(), np.zeros(SIZE, np.float32)
    made, _ = codec.encode(quantiser(name), where, x, base, random.Random(0), kernel)
    index, scales, codes = codec.decode(made, SIZE)
    positions = np.arange(SIZE)[index].tolist()
    said = values(scales, codes).tolist()
    return {
        "about": about, "size": SIZE, "delta": msgspec.msgpack.encode(made).hex(), "index": positions, "values": said,
    }  # fmt: skip


def _messages() -> Iterator[dict[str, Any]]:
    founder, device = _ids()
    schema, base, parent = (bytes([value]) * 16 for value in (0xAA, 0xBB, 0))
    delta = Delta(Strided(2, SIZE, 5), quantiser("float16").number, False, memoryview(b"\0<" * 60))
    count = msg.Count(2**52 + 1, 7, 0.25, 0.5)
    rumours = (Rumour(device, Standing.SUSPECT, 1_796_000_000, 2),)
    charter = Members(founder, MESH, Charter(founder))
    credential = charter.admit(device, founder, identity.signer(SEEDS["founder"]))
    ban = charter.revoke(device, founder, identity.signer(SEEDS["founder"]))
    said: list[msg.Message] = [
        msg.Hello(MESH, schema, base, 1_796_000_000, 3, 60.0, (ADDRESS,), "", "int4+round-robin:5", heard=False),
        msg.Peers((msg.KnownPeer(device, (ADDRESS,)),), asks=True),
        msg.Update(schema, base, 1_796_000_000, 4, 80.5, 1.0, delta),
        msg.NeedBase(base, schema),
        msg.Base(schema, parent, delta),
        msg.NeedSnapshot(),
        msg.Snapshot(schema, base, 80.5, delta),
        msg.Goodbye(leaves=True),
        msg.Credential(credential),
        msg.Revocations((ban,)),
        msg.Ping(1, rumours, count),
        msg.Ack(1, device, (), count),
        msg.PingFor(2, device, (ADDRESS,)),
    ]
    for one in said:
        frame = b"".join(parts(msg.encode(one)))
        yield {
            "message": type(one).__name__,
            "array": msgspec.to_builtins(one, builtin_types=(bytes, memoryview)),
            "frame": frame.hex(),
        }


def _ids() -> tuple[str, str]:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    founder, device = (
        id_of(Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()) for seed in SEEDS.values()
    )
    return founder, device


def _signatures() -> Iterator[dict[str, Any]]:
    founder, device = _ids()
    for kind in ("admission", "ban"):
        statement = msgspec.msgpack.encode(("gossipfl 1", kind, MESH, founder, device, False))
        signature = identity.signer(SEEDS["founder"])(statement)
        yield {
            "of": kind, "seed": SEEDS["founder"].hex(), "id": founder, "statement": statement.hex(),
            "signature": signature.hex(),
        }  # fmt: skip


def _cipher() -> dict[str, str]:
    key, nonce, plain = bytes(range(32)), bytes(range(100, 124)), b"/multistream/1.0.0\n" * 5
    cipher = pnet.xsalsa20(key, nonce)
    return {"key": key.hex(), "wire": (nonce + cipher.encrypt(plain)).hex(), "plain": plain.hex()}


def _ticket() -> dict[str, Any]:
    founder, _ = _ids()
    made = ticket.Ticket(MESH, bytes(32), (f"{ADDRESS}/p2p/{founder}",), 1_796_086_400.0, bytes(range(32)))
    return {"text": ticket.write(made), "content": msgspec.msgpack.encode(made).hex()}


def text() -> str:
    """The file as it should be: a line for each vector."""
    parts = []
    for name, content in vectors().items():
        lines = [json.dumps(one, ensure_ascii=False, default=_hex) for one in content if isinstance(content, list)]
        parts.append(f'"{name}": ' + ("[\n" + ",\n".join(lines) + "\n]" if lines else json.dumps(content)))
    return "{\n" + ",\n".join(parts) + "\n}\n"


def _hex(value: Any) -> Any:
    return bytes(value).hex() if isinstance(value, bytes | memoryview) else value


if __name__ == "__main__":
    FILE.write_text(text())
