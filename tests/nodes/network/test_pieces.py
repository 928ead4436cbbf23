"""Pieces: the same bytes in the same order as from one bytearray, and no copy where none is needed."""

from hypothesis import given
from hypothesis import strategies as st

from gossipfl_nodes.network.pieces import Pieces


@given(st.lists(st.binary(max_size=20) | st.tuples(st.booleans(), st.integers(0, 50))))
def test_they_are_a_queue_of_bytes(does: list[bytes | tuple[bool, int]]) -> None:
    pieces, model = Pieces(), bytearray()
    for step in does:
        if isinstance(step, bytes):
            pieces.extend(step)
            model += step
        else:
            whole, n = step
            taken = pieces.take(n) if whole else pieces.some(n)
            assert taken == model[: len(taken)]
            assert len(taken) == min(n, len(model)) if whole else len(taken) <= n
            assert taken or not (n and model)
            del model[: len(taken)]
        assert len(pieces) == len(model)
        assert bool(pieces) == bool(model)


def test_a_whole_piece_comes_out_as_the_object_that_went_in() -> None:
    pieces, data = Pieces(), bytes(100)
    for take in (pieces.take, pieces.some):
        pieces.extend(data)
        assert take(100) is data
