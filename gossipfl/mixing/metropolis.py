"""Metropolis mixing coefficients from publish rates: the average is preserved in expectation.

In one-way gossip a message from i moves j towards i, and nothing else. The expected mixing matrix is symmetric, and so
keeps the network's mean, when the expected flux is: q_ij·α_ij = q_ji·α_ji, with q_ij the rate at which i sends to j.
α_ij = ½·min(1, q_ji / q_ij) does that: the Metropolis–Hastings rule (Xiao, Boyd, Lall 2005), on rates, not degrees.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TypeVar

Number = TypeVar("Number", float, Fraction)


def alpha(rate_in: Number, rate_out: Number) -> Number:
    """The coefficient in (0, ½] with which a receiver mixes an update.

    Args:
        rate_in: q_ij > 0, messages per second from the sender to the receiver.
        rate_out: q_ji > 0, messages per second from the receiver to the sender.
    """
    return min(rate_in, rate_out) / (2 * rate_in)
