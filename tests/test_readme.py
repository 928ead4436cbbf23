"""What the README shows is run as it stands there."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

README = Path(__file__).parent.parent / "README.md"


def test_a_users_pytorch_module_joins_a_mesh_in_at_most_25_lines(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("sklearn")
    (example,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert len(example.splitlines()) <= 25
    (tmp_path / "cnn.py").write_text(example)
    result = tmp_path / "result.json"
    command = [sys.executable, "-m", "gossipfl", "demo", "--task", f"{tmp_path}/cnn.py:digits_cnn"]
    subprocess.run([*command, "--nodes", "3", "--seconds", "60", "--until", "0.8", "--json", str(result)], check=True)
    mesh = json.loads(result.read_text())
    assert all(node["merges"] > 0 for node in mesh["nodes"])
    assert mesh["mean_accuracy"] >= 0.8


def test_the_commands_that_the_readme_names_exist() -> None:
    named = set(re.findall(r"^gossipfl (\w+)|`gossipfl (\w+)", README.read_text(), re.MULTILINE))
    help_text = subprocess.run(
        [sys.executable, "-m", "gossipfl", "--help"], capture_output=True, text=True, check=True
    ).stdout
    for name in {first or second for first, second in named}:
        assert f"  {name} " in help_text, name
