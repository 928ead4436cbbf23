"""Commands that decide who is of a closed mesh."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from gossipfl.cli import Exit
from gossipfl.errors import LocalError
from gossipfl.output.terminal import ago, print_json
from gossipfl_nodes.commands import client, options
from gossipfl_nodes.disk.home import Home

INVITE_EXAMPLES = """
gossipfl invite
gossipfl invite --for 7d --admin
"""
ALLOW_EXAMPLES = """
gossipfl allow 12D3KooW…
"""
BAN_EXAMPLES = """
gossipfl ban 12D3KooW…
"""
JOIN_EXAMPLES = """
gossipfl join gossipfl1.…
gossipfl join - --task.name /path/to/cnn.py:digits_cnn < ticket
"""
UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


def invite(arguments: list[str]) -> int:
    """Make a ticket with which one new device joins this mesh."""
    parser = options.parser("invite", invite.__doc__, INVITE_EXAMPLES, json=True)
    parser.add_argument(
        "--for", dest="lifetime", default="1d", metavar="TIME", help="how long it is good, as 10m, 1h or 7d; at most"
        " 31d (default: 1d)",
    )  # fmt: skip
    _add_admin(parser)
    given = parser.parse_args(arguments)
    asked = {"seconds": _seconds(given.lifetime), "admin": given.admin}
    return _show(given, client.post(Home(given.home), "/v1/invite", asked))


def allow(arguments: list[str]) -> int:
    """Make a ticket for a device whose id is known; it needs nobody to be there when it joins."""
    parser = options.parser("allow", allow.__doc__, ALLOW_EXAMPLES, json=True)
    parser.add_argument("device", metavar="ID", help="as gossipfl id prints it there")
    _add_admin(parser)
    given = parser.parse_args(arguments)
    return _show(given, client.post(Home(given.home), "/v1/allow", {"device": given.device, "admin": given.admin}))


def ban(arguments: list[str]) -> int:
    """Exclude a device from this mesh, for good: nobody of it talks to that device any more."""
    parser = options.parser("ban", ban.__doc__, BAN_EXAMPLES, json=True)
    parser.add_argument("device", metavar="ID", help="of the device; if it was an admin, whom it admitted goes as well")
    given = parser.parse_args(arguments)
    found = client.post(Home(given.home), "/v1/ban", {"device": given.device})
    if given.json:
        print_json(found)
    else:
        print(f"{given.device} is banned; the ban spreads to all who can be reached")
    return Exit.OK


def join(arguments: list[str]) -> int:
    """Make this device's home in the mesh that a ticket is for."""
    parser = options.parser("join", join.__doc__, JOIN_EXAMPLES, keys=True, json=True)
    parser.add_argument("ticket", metavar="TICKET", help="as gossipfl invite or allow printed it; - reads it")
    given = parser.parse_args(arguments)
    from gossipfl.output.files import write_durably
    from gossipfl_nodes.daemon.config import template
    from gossipfl_nodes.disk import trust
    from gossipfl_nodes.network import identity, ticket

    made = ticket.read(sys.stdin.read() if given.ticket == "-" else given.ticket)
    home = Home(given.home)
    if not trust.is_alone(home.trust):
        print(f"gossipfl join: {home.path}: this device is of a mesh already; choose another --home", file=sys.stderr)
        return Exit.CANNOT_CREATE
    text = template({"gossip.mesh": made.mesh} | options.absolute(options.flags(given)))
    if home.config.exists():
        _check_config(home.config, made.mesh)
    home.create()
    with home.lock():
        peer = identity.id_of(home.key) if home.key.exists() else identity.create(home.key)
        charter = made.charter if made.secret is None else _redeem(home, made)
        if charter is None or (made.device and made.device != peer):
            raise LocalError(f"the ticket is for {made.device or 'nobody'}; this device is {peer}")
        trust.settle(home.trust, home.mesh_key, charter, made.key, made.addresses)
        trust.Trust(home.trust, peer, made.mesh)  # does it admit us?
        if not home.config.exists():
            write_durably(home.config, text.encode())
    if given.json:
        print_json({"id": peer, "mesh": made.mesh, "home": str(home.path), "config": str(home.config)})
    else:
        where = "" if given.home is None else f" --home {given.home}"
        print(f"id      {peer}\nmesh    {made.mesh}\nconfig  {home.config}\n\nnext: gossipfl run{where}")
    return Exit.OK


def _check_config(config: Path, mesh: str) -> None:
    """A configuration that is there already stays; it must be of the same mesh."""
    from gossipfl_nodes.daemon.config import load

    configured = load(config, {}, {}).config
    if configured.gossip.mesh != mesh or configured.network.open:
        raise LocalError(
            f"{config}: gossip.mesh = {configured.gossip.mesh!r}, network.open ="
            f" {str(configured.network.open).lower()}; the ticket is for gossip.mesh = {mesh!r}, network.open = false:"
            " change that, or choose another --home"
        )


def _redeem(home: Home, made: Any) -> Any:
    """The charter that whoever made the ticket has for this device."""
    if made.expires < time.time():
        raise LocalError(f"the ticket expired {ago(made.expires)}; gossipfl invite makes another one")
    import trio

    from gossipfl_nodes.network import lean  # noqa: F401 - before all that imports what it leaves out

    from gossipfl_nodes.network import identity, network  # isort: skip

    async def ask() -> Any:
        reasons = []
        outbox, inbox = trio.open_memory_channel[Any](100)
        async with network.open_network(
            identity.load(home.key), (), outbox, 1 << 16, lambda *_: None, secret=made.key
        ) as joining, inbox:  # fmt: skip
            for address in made.addresses:
                try:
                    return await joining.redeem(address, made.secret)
                except ConnectionError as error:
                    reasons.append(str(error))
        raise LocalError(
            f"the device that made the ticket does not answer at {', '.join(made.addresses)}; it must run, and be"
            f" reachable from here ({'; '.join(reasons)})"
        )

    try:
        return trio.run(ask)
    except ExceptionGroup as group:
        local, rest = group.split(LocalError)
        if local is None or rest is not None:
            raise
        raise options.first(local) from None


def _add_admin(parser: Any) -> None:
    parser.add_argument(
        "--admin", action="store_true", help="the device may invite and ban others too; only the founder may say so"
    )


def _show(given: Any, found: dict[str, Any]) -> int:
    if given.json:
        print_json(found)
        return Exit.OK
    print(found["ticket"])
    until = "" if found["expires"] is None else f" until {time.strftime('%F %R', time.localtime(found['expires']))}"
    print(
        f"on the new device, gossipfl join TICKET takes it into the mesh{until}. The ticket is secret: whoever has it"
        " can use it.", file=sys.stderr,
    )  # fmt: skip
    return Exit.OK


def _seconds(text: str) -> float:
    number, unit = text[:-1], text[-1:]
    if unit not in UNITS or not number.isdecimal() or not 0 < int(number) * UNITS[unit] <= 31 * UNITS["d"]:
        raise LocalError(f"--for {text}: allowed is a number and s, m, h or d, up to 31d")
    return int(number) * UNITS[unit]
