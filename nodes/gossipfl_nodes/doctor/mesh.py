"""What the device has to do with others: membership, ports, task, peers.

It asks the daemon if that runs, and looks itself if not.
"""

from __future__ import annotations

import socket

from gossipfl.errors import LocalError
from gossipfl.output.terminal import duration
from gossipfl_nodes.commands import client
from gossipfl_nodes.disk.trust import Trust, load_key
from gossipfl_nodes.doctor.findings import Finding, Patient
from gossipfl_nodes.network import identity

TIMEOUT = 5.0
"""Seconds for somebody to answer."""


def membership(patient: Patient) -> Finding:
    """Is it of a mesh, and who else may be?"""
    home, config = patient.home, patient.config
    if config.network.open:
        return Finding("mesh", "hint", "open: whoever reaches this device may join", "network.open = false")
    try:
        load_key(home.mesh_key)
        Trust(home.trust, identity.id_of(home.key), config.gossip.mesh)
    except LocalError as error:
        return Finding("mesh", "wrong", str(error), "gossipfl join TICKET, or gossipfl init")
    return Finding("mesh", "ok", f"{config.gossip.mesh}, closed; this device is of it")


def ports(patient: Patient) -> Finding:
    """Can others reach this device?"""
    listen = patient.config.network.listen
    if patient.status is None:
        for address in listen:
            _, family, host, _, port = f"{address}/".split("/")[:5]
            with socket.socket(socket.AF_INET6 if family == "ip6" else socket.AF_INET) as trial:
                trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    trial.bind((host, int(port)))
                except (OSError, ValueError, OverflowError) as error:
                    fix = "end what has it, or choose another in network.listen"
                    return Finding("ports", "wrong", f"{address}: can't listen there: {error}", fix)
    elif not patient.status["addresses"]:
        return Finding(
            "ports", "wrong", "the daemon can be reached nowhere", "bring an interface up; see network.listen"
        )
    if all(address.startswith(("/ip4/127.", "/ip6/::1/")) for address in listen):
        fix = "network.listen = /ip4/0.0.0.0/tcp/9444"
        return Finding("ports", "hint", f"{', '.join(listen)}: only this device reaches it", fix)
    return Finding("ports", "ok", ", ".join(patient.status["addresses"] if patient.status else listen))


def task(patient: Patient) -> Finding:
    """Does the task work, and does it fit what others learn?"""
    name = patient.config.task.name
    if patient.status is None:
        try:
            parameters, fingerprint = _tried(patient)
        except LocalError as error:
            return Finding("task", "wrong", str(error), "see task.name and task.data")
    else:
        if patient.status["failures"]:
            text = f"{patient.status['failures']} trainings failed, last: {patient.status['last_failure']}"
            return Finding("task", "wrong", text, "gossipfl logs has more; mend the task, and restart the daemon")
        model = client.get(patient.home, "/v1/model")
        parameters, fingerprint = model["parameters"], model["fingerprint"]
    return Finding("task", "ok", f"{name}: {parameters} parameters, layout {fingerprint}; the same on all devices")


def _tried(patient: Patient) -> tuple[int, str]:
    """Load the task as the daemon would, in a process of its own."""
    import numpy as np
    import trio

    from gossipfl_nodes.daemon.training import Training

    async def main() -> tuple[int, str]:
        training = Training(patient.config.task, np.random.default_rng())
        try:
            await training.start()
            _, schema, _ = await training.introduce()
            return schema.size, schema.fingerprint.hex()
        finally:
            await training.stop()

    return trio.run(main)


def peers(patient: Patient) -> list[Finding]:
    """Is somebody there?"""
    found = [_bootstrap(patient, address) for address in patient.config.network.bootstrap]
    if patient.status is None:
        return found
    rows = client.get(patient.home, "/v1/peers")
    live = [row for row in rows if row["live"]]
    refused = [row for row in rows if row["refused"] and not row["live"]]
    if refused:
        fix = "gossip.mesh and the task's layout must be the same on all; gossipfl logs has the reasons"
        found.append(Finding("peers", "hint", f"{len(refused)} were refused, last {refused[-1]['id']}", fix))
    if patient.status["partition"]:
        text = f"{patient.status['missing']} can't be reached any more: the mesh looks split"
        found.append(Finding("peers", "wrong", text, "look at the network between; the halves merge by themselves"))
    elif not live:
        fix = "name a member in network.bootstrap; gossipfl id prints its addresses there"
        found.append(Finding("peers", "hint", "nobody is there: it learns alone", fix))
    else:
        found.append(Finding("peers", "ok", f"{len(live)} linked, of {len(rows)} known"))
    return found


def _bootstrap(patient: Patient, address: str) -> Finding:
    """Does a configured member answer?"""
    name = f"bootstrap {address}"
    fix = "is its daemon running, is the port open, is the address right? gossipfl id tells, there"
    where, _, _ = address.partition("/p2p/")
    try:
        if patient.status is not None:
            answer = client.post(patient.home, "/v1/ping", {"peer": address}, timeout=60)
            return Finding(name, "ok", f"{answer['peer']} answers after {duration(answer['seconds'])}")
        _, _, host, _, port = where.split("/")
        with socket.create_connection((host, int(port)), timeout=TIMEOUT):
            return Finding(name, "ok", "something listens there")
    except (client.Refused, OSError, ValueError) as error:
        return Finding(name, "wrong", str(error), fix)
