"""Tickets: what is written is read, and what was damaged on the way to a keyboard is found out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipfl.errors import LocalError
from gossipfl_nodes.network.ticket import PREFIX, Ticket, read, write
from tests.gossipfl.builders import Device

FOUNDER = Device(1)
MEMBER = FOUNDER.welcome(2)
ADDRESSES = (f"/ip4/192.0.2.7/tcp/9444/p2p/{FOUNDER.id}", f"/dns4/a.example/tcp/1/p2p/{FOUNDER.id}")
OPEN = Ticket("ours", bytes(range(32)), ADDRESSES, 1.5e9, bytes(32))
NAMED = Ticket("ours", bytes(range(32)), ADDRESSES, float("inf"), None, MEMBER.id, MEMBER.charter)


@pytest.mark.parametrize("ticket", [OPEN, NAMED], ids=["for anybody", "for one device"])
def test_a_ticket_comes_back_as_it_was_even_with_line_breaks(ticket: Ticket) -> None:
    text = write(ticket)
    assert read(text) == ticket
    assert read(f"  {text[:40]}\n{text[40:90]} \r\n{text[90:]}\n") == ticket


@given(st.data())
def test_a_ticket_with_a_slip_is_none(data: st.DataObject) -> None:
    text = write(OPEN)
    at = data.draw(st.integers(len(PREFIX), len(text) - 1))
    other = data.draw(st.sampled_from("ABab01-_=%ü"))
    for slip in (text[:at] + text[at + 1 :], text[:at] + other + text[at:], text[:at] + other + text[at + 1 :]):
        try:
            found = read(slip)
        except LocalError:
            continue
        assert found == OPEN  # its last character has bits that stand for nothing


@given(st.text(max_size=200))
def test_whatever_else_is_none(text: str) -> None:
    for wrong in (text, PREFIX + text):
        with pytest.raises(LocalError, match="ticket"):
            read(wrong)


@pytest.mark.parametrize(
    "address", ["", "nonsense", "/ip4/192.0.2.7/tcp/9444", "/ip4/192.0.2.7/udp/1/p2p/" + FOUNDER.id]
)
def test_a_ticket_without_a_place_to_go_is_none(address: str) -> None:
    with pytest.raises(LocalError, match="ticket"):
        read(write(Ticket("ours", bytes(32), (address,), 1.5e9, bytes(32))))
