"""Completion in real shells, as far as they are installed, with what the commands' parsers know."""

from __future__ import annotations

import shutil
import subprocess
from importlib.metadata import distribution
from pathlib import Path

import pytest

from gossipfl import completion
from gossipfl.cli import Exit, spoken
from tests.nodes.support import gossipfl

LINES = [
    (["st"], {"status", "stop"}),
    (["city", ""], {"init", "up", "rehearse"}),
    (["city", "rehearse", "--cu"], {"--cut"}),
    (["topology", ""], {"list", "show", "measure", "compare", "set"}),
    (["log-level", ""], {"debug", "info", "warning", "error"}),
    (["completion", ""], set(completion.SHELLS)),
    (["run", "--gossip.in"], {"--gossip.interval"}),
    (["logs", "--f"], {"--follow"}),
    (["predict", "win"], {"windows.npy"}),
    (["topology", "show", "--png", "win"], {"windows.npy"}),
    (["topology", "show", "ring", "--se"], {"--seed"}),
    (["predict", "--out", "win"], {"windows.npy"}),
]
BASH = """
source "$1"
shift
COMP_WORDS=(gossipfl "$@") COMP_CWORD=$#
_gossipfl
printf '%s\\n' "${COMPREPLY[@]}"
"""
FISH = 'source $argv[1]; complete -C (string join -- " " gossipfl (string escape -- $argv[2..-2]) $argv[-1])'


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a script for each shell, and a file to find."""
    folder = tmp_path_factory.mktemp("completion")
    for shell in completion.SHELLS:
        made = gossipfl("completion", shell)
        assert (made.returncode, made.stderr) == (Exit.OK, "")
        (folder / shell).write_text(made.stdout)
    (folder / "windows.npy").touch()
    return folder


def offered(shell: str, script: Path, words: list[str]) -> set[str]:
    """What the shell offers after these words, the last of which is being written."""
    found = shutil.which(shell)
    if found is None:
        pytest.skip(f"there is no {shell} here")
    options = ["--norc", "-c", BASH, "bash"] if shell == "bash" else ["--no-config", "-c", FISH]
    done = subprocess.run(
        [found, *options, str(script), *words], cwd=script.parent, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    return {line.partition("\t")[0] for line in done.stdout.splitlines()}


@pytest.mark.parametrize("shell", ["bash", "fish"])
@pytest.mark.parametrize(("words", "expected"), LINES, ids=lambda words: " ".join(sorted(words)))
def test_what_can_follow_is_offered(scripts: Path, shell: str, words: list[str], expected: set[str]) -> None:
    assert expected <= offered(shell, scripts / shell, words)


def test_zsh_can_read_its_script(scripts: Path) -> None:
    zsh = shutil.which("zsh")
    if zsh is None:
        pytest.skip("there is no zsh here")
    subprocess.run([zsh, "-f", "-n", str(scripts / "zsh")], check=True)


@pytest.mark.parametrize("shell", completion.SHELLS)
def test_every_command_and_each_of_its_options_is_in_each_script(scripts: Path, shell: str) -> None:
    script = (scripts / shell).read_text()
    found = completion.parsers()
    assert set(found) == {
        spoken(point) for point in distribution("gossipfl").entry_points.select(group="gossipfl.commands")
    }
    for name, parser in found.items():
        assert name in script
        for action in parser._actions:
            for option in action.option_strings:
                assert (option if shell != "fish" else option.lstrip("-")) in script, f"{name} {option}"


def test_parsers_parse_again_afterwards() -> None:
    completion.parsers()
    assert completion.completion(["bash"]) == Exit.OK


def test_an_unknown_shell_is_named_with_those_that_there_are() -> None:
    refused = gossipfl("completion", "tcsh")
    assert refused.returncode == Exit.USAGE
    assert "bash" in refused.stderr
