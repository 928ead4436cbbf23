"""The command that looks a device over."""

from __future__ import annotations

import os
from collections.abc import Iterator

from gossipfl.cli import Exit
from gossipfl.errors import LocalError
from gossipfl.output.terminal import print_json
from gossipfl_nodes.commands import client, options
from gossipfl_nodes.daemon.config import load
from gossipfl_nodes.disk.home import Home
from gossipfl_nodes.doctor.findings import Finding, Patient

EXAMPLES = """
gossipfl doctor
gossipfl doctor --json | jq '.[] | select(.verdict != "ok")'
"""


def doctor(arguments: list[str]) -> int:
    """Look this device over: clock, keys, disk, limits, ports, task and peers; and say what to do."""
    given = options.parser("doctor", doctor.__doc__, EXAMPLES, json=True).parse_args(arguments)
    found = []
    for finding in _findings(Home(given.home)):
        found.append(finding)
        if not given.json:
            print(f"{finding.verdict:5}  {finding.name}: {finding.text}", flush=True)
            if finding.fix:
                print(f"       → {finding.fix}")
    if given.json:
        print_json([finding._asdict() for finding in found])
    return Exit.FAILED if any(finding.verdict == "wrong" for finding in found) else Exit.OK


def _findings(home: Home) -> Iterator[Finding]:
    from gossipfl_nodes.doctor import device, mesh

    try:
        config = load(home.config, os.environ, {}).config
    except LocalError as error:
        yield Finding("configuration", "wrong", str(error), "edit it; gossipfl config show --origin")
        return
    yield Finding("configuration", "ok", str(home.config) if home.config.exists() else "defaults")
    try:
        status = client.get(home, "/v1/status")
    except client.NotRunning:
        status = None
        yield Finding("daemon", "hint", "it does not run", "gossipfl run")
    else:
        yield Finding("daemon", "ok", f"process {status['pid']}, {status['state']}")
    patient = Patient(home, config, status)
    for check in (
        device.clock,
        device.keys,
        device.disk,
        device.files,
        device.multicast,
        mesh.membership,
        mesh.ports,
        mesh.task,
    ):
        yield check(patient)
    yield from mesh.peers(patient)
