"""From a task's name to its factory, and what a user is told when there is none."""

from pathlib import Path

import pytest

from gossipfl.errors import LocalError
from gossipfl.tasks.load import find, load, options_of
from gossipfl.tasks.npz import npz
from gossipfl.tasks.task import Node

TASK = """
import numpy as np
from gossipfl.tasks.mlp import MLP

MADE = "not a function"

def mine(node):
    x, y = np.eye(3, dtype=np.float32), np.arange(3)
    return MLP(x, y, x, y, classes=3, seed=node.seed)

def wide(node, *, hidden: int = 0, name: str = "", lr=0.1):
    x, y = np.eye(3, dtype=np.float32), np.arange(3)
    return MLP(x, y, x, y, classes=3, hidden=(hidden,) * (hidden > 0), lr=lr, seed=node.seed)
"""


def test_a_built_in_task_goes_by_its_name() -> None:
    assert load("npz") is npz


def test_a_users_file_is_run_and_its_factory_taken(tmp_path: Path) -> None:
    path = tmp_path / "my task.py"
    path.write_text(TASK)
    task = load(f"{path}:mine")(Node(seed=4))
    assert task.schema.size == 12
    assert task.evaluate(task.initial()).keys() == {"accuracy", "loss"}


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (
            "digit",
            "task 'digit': allowed are digits, softmax, npz, sensors, or file.py:factory; did you mean 'digits'",
        ),
        ("nzp", r"did you mean 'npz'\?"),
        ("elephants", "allowed are digits, softmax, npz, sensors, or file.py:factory$"),
        ("", "allowed are"),
        ("mine.py", "allowed are"),
        ("nowhere.py:mine", "there is no file nowhere.py"),
        (":mine", "there is no file"),
    ],
)
def test_a_name_that_stands_for_nothing_is_told_what_there_is(name: str, reason: str) -> None:
    with pytest.raises(LocalError, match=reason):
        load(name)


@pytest.mark.parametrize(
    ("file", "content", "factory", "reason"),
    [
        ("a.py", TASK, "yours", "has no function 'yours'"),
        ("a.py", TASK, "MADE", "has no function 'MADE'"),
        ("a.py", TASK, "", "has no function ''"),
        ("a.py", "1/0", "mine", "fails: ZeroDivisionError"),
        ("a.py", "def mine(:", "mine", "fails: SyntaxError"),
        ("a.py", "import no_such_package", "mine", "fails: ModuleNotFoundError: No module named 'no_such_package'"),
        ("a.txt", TASK, "mine", "is not a Python file"),
    ],
)
def test_a_file_that_does_not_do_is_named_with_its_fault(
    tmp_path: Path, file: str, content: str, factory: str, reason: str
) -> None:
    path = tmp_path / file
    path.write_text(content)
    with pytest.raises(LocalError, match=reason) as caught:
        load(f"{path}:{factory}")
    assert str(path) in str(caught.value)


def test_options_are_the_keyword_parameters_of_a_factory(tmp_path: Path) -> None:
    path = tmp_path / "task.py"
    path.write_text(TASK)
    wide = f"{path}:wide"
    assert list(options_of(find(wide))) == ["hidden", "name", "lr"]
    assert options_of(find("digits")) == {}
    assert load(wide)(Node()).schema.size == 12
    assert load(wide, {"hidden": 5, "name": 7, "lr": 0.5})(Node()).schema.size == 38


@pytest.mark.parametrize(
    ("factory", "options", "reason"),
    [
        ("wide", {"hiden": 5}, "option hiden = 5: no such option; did you mean hidden"),
        ("wide", {"x": 5}, "option x = 5: no such option; there are hidden, name, lr"),
        ("wide", {"hidden": "many"}, "option hidden = 'many': Expected `int`, got `str`"),
        ("mine", {"hidden": 5}, "no such option; there are none"),
    ],
)
def test_an_option_that_a_task_does_not_have_is_refused(
    tmp_path: Path, factory: str, options: dict[str, object], reason: str
) -> None:
    path = tmp_path / "task.py"
    path.write_text(TASK)
    with pytest.raises(LocalError, match=reason):
        load(f"{path}:{factory}", options)
