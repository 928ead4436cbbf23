"""What `python -m bench` does with its command line."""

from __future__ import annotations

import pytest

from bench.__main__ import BENCHMARKS, main


def test_help_lists_the_benchmarks_and_runs_none(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["bench", "--help"])
    assert main() == 0
    shown = capsys.readouterr().out
    assert all(f"  {name} " in shown for name in BENCHMARKS)
    assert "==" not in shown


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (["nonsense"], "bench: no benchmark 'nonsense'; there are newcomer, "),
        (["wire", "--seeds", "1"], "bench: wire has no options, not --seeds"),
    ],
)
def test_what_there_is_not_is_refused(
    given: list[str], why: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["bench", *given])
    assert main() == 2
    assert capsys.readouterr().err.startswith(why)
