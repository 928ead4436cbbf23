"""The test vectors in the documentation are what the code makes and reads, byte for byte."""

from __future__ import annotations

import json

import msgspec
import numpy as np

from docs.making import vectors
from gossipfl.codec import codec
from gossipfl.codec.codec import Delta
from gossipfl.codec.quantisers import QUANTISERS, values
from gossipfl.wire import messages as msg
from gossipfl.wire.frames import FrameDecoder, parts
from gossipfl_nodes.network import pnet, ticket

SHOWN = json.loads(vectors.FILE.read_text())


def test_the_file_is_what_the_code_makes() -> None:
    assert vectors.FILE.read_text() == vectors.text(), "python -m docs.making.vectors writes it anew"


def test_every_message_is_there_and_is_read_and_written_alike() -> None:
    kinds = []
    for one in SHOWN["messages"]:
        stream = bytes.fromhex(one["frame"])
        (body,) = FrameDecoder(msg.max_body(vectors.SIZE)).feed(stream)
        found = msg.decode(body)
        kinds.append(type(found))
        assert type(found).__name__ == one["message"]
        assert b"".join(parts(msg.encode(found))) == stream
    assert set(kinds) == set(msg.Message.__args__)


def test_every_codec_is_there_and_says_the_values_shown() -> None:
    found = {}
    for one in SHOWN["deltas"]:
        delta = msgspec.msgpack.decode(bytes.fromhex(one["delta"]), type=Delta)
        index, scales, codes = codec.decode(delta, one["size"])
        assert np.arange(one["size"])[index].tolist() == one["index"]
        assert values(scales, codes).tolist() == one["values"]
        found[delta.quantiser] = type(delta.coordinates)
    assert {one.number for one in QUANTISERS.values()} == set(found)
    kinds = {msgspec.msgpack.decode(bytes.fromhex(one["delta"]))[1][0] for one in SHOWN["deltas"]}
    assert kinds == {1, 2, 3, 4, 5}
    assert {msgspec.msgpack.decode(bytes.fromhex(one["delta"]))[3] for one in SHOWN["deltas"]} == {True, False}


def test_the_cipher_and_the_ticket_are_read() -> None:
    shown = SHOWN["cipher"]
    assert pnet.Cipher(bytes.fromhex(shown["key"])).decrypt(bytes.fromhex(shown["wire"])).hex() == shown["plain"]
    assert msgspec.msgpack.encode(ticket.read(SHOWN["ticket"]["text"])).hex() == SHOWN["ticket"]["content"]
