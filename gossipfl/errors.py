"""Errors, split by blame, as h11 does.

`LocalError`: our caller broke the contract (a bad configuration, a wrong shape from a task).
`RemoteError`: a peer broke the protocol; it costs that peer reputation and nothing else.
Any other exception that leaves this package is a bug in this package.
"""


class GossipflError(Exception):
    """Base of the errors that this project raises on purpose."""


class LocalError(GossipflError):
    """The caller broke the contract: the message says what, where, and what is allowed."""

    exit_status = 1
    """What a command that ends with it returns."""


class RemoteError(GossipflError):
    """A peer sent something that the protocol does not allow; no state was changed by it."""
