"""Every public function of the package says what it takes and gives, and shows it by an example that runs."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import gossipfl_topology

OF_AN_INTERFACE = {"name", "neighbours", "chance", "drawer"}
"""Told about once, in live.topology.Topology."""


def modules() -> Iterator[ModuleType]:
    for found in pkgutil.walk_packages(gossipfl_topology.__path__, "gossipfl_topology."):
        yield importlib.import_module(found.name)


def public() -> Iterator[tuple[str, Any]]:
    for module in modules():
        for name, item in vars(module).items():
            if name.startswith("_") or getattr(item, "__module__", None) != module.__name__:
                continue
            if inspect.isfunction(item) or inspect.isclass(item):
                yield f"{module.__name__}.{name}", item
            if inspect.isclass(item):
                for member, method in vars(item).items():
                    if inspect.isfunction(method) and not member.startswith("_"):
                        yield f"{module.__name__}.{name}.{member}", method


def test_all_of_them_have_docstrings() -> None:
    assert [name for name, item in public() if not inspect.getdoc(item)] == []


def test_all_functions_have_examples() -> None:
    names = [
        name
        for name, item in public()
        if inspect.isfunction(item)
        and ">>>" not in (inspect.getdoc(item) or "")
        and not (".live." in name and name.rpartition(".")[2] in OF_AN_INTERFACE)
    ]
    assert names == []


def test_a_daemon_that_imports_the_package_does_not_pay_for_graphs_and_plots() -> None:
    import subprocess
    import sys

    heavy = "scipy", "networkx", "matplotlib", "cvxpy"
    code = f"import gossipfl_topology, sys; print([name for name in {heavy} if name in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
