"""The file model.env, which Compose reads in one mode and this project in the other."""

from pathlib import Path

import pytest

from stack.errors import StackError
from stack.model_env import OWN, read_model_env

READ = {
    "PLAIN=two words": "two words",
    "export PLAIN=1": "1",
    "PLAIN = x   # a comment": "x",
    "PLAIN=a#b": "a#b",
    "PLAIN=": "",
    'PLAIN="a \\"b\\" # c\\n\\td"': 'a "b" # c\n\td',
    "PLAIN='a $b ${c} \\n it\\'s # d'": "a $b ${c} \\n it's # d",
    'PLAIN="one\ntwo"': "one\ntwo",
    "PLAIN=http://me:secret@example.com/?x=1&y=2": "http://me:secret@example.com/?x=1&y=2",
    "\ufeff# a comment\r\n\r\nPLAIN=1\r\n": "1",
}
"""Texts that both read, and the value that they find."""


def test_a_file_that_is_not_there_sets_nothing(tmp_path: Path) -> None:
    assert read_model_env(tmp_path / "model.env", ()) == {}


@pytest.mark.parametrize(("text", "value"), READ.items())
def test_values_are_read_with_their_quotes_and_comments(tmp_path: Path, text: str, value: str) -> None:
    (tmp_path / "model.env").write_bytes(text.encode())
    assert read_model_env(tmp_path / "model.env", ()) == {"PLAIN": value}


@pytest.mark.parametrize(
    ("text", "line"),
    [("\n\nA=1\nNAME\n", 4), ("NAME: value", 1), ('\nA="open', 2), ("A='b' c", 1), ("1A=b", 1), ("A B=c", 1)],
)
def test_what_is_no_assignment_is_refused_with_its_line(tmp_path: Path, text: str, line: int) -> None:
    (tmp_path / "model.env").write_text(text)
    with pytest.raises(StackError, match=rf"^model\.env, line {line}: expected NAME=VALUE; correct it$"):
        read_model_env(tmp_path / "model.env", ())


@pytest.mark.parametrize(
    "value", ["pa$word", '"${HOME}"', r"'a\\b'", r'''"it\'s"''', r'"\0101"', " # none", "b\t# note"]
)
def test_what_compose_would_read_differently_is_refused_without_showing_it(
    tmp_path: Path, value: str
) -> None:
    (tmp_path / "model.env").write_text(f"TOKEN={value}\n")
    with pytest.raises(StackError) as raised:
        read_model_env(tmp_path / "model.env", ())
    assert str(raised.value) == (
        "model.env sets TOKEN to a value that Compose would read differently;"
        " put it into single quotes, without two backslashes side by side"
    )


def test_a_setting_is_refused_with_the_file_that_it_belongs_to(tmp_path: Path) -> None:
    (tmp_path / "model.env").write_text("SERVER_WORKERS=2\n")
    with pytest.raises(StackError, match=r"sets SERVER_WORKERS, which is set in \.env; move it there"):
        read_model_env(tmp_path / "model.env", ["SERVER_WORKERS"])


@pytest.mark.parametrize("name", OWN)
def test_what_the_stack_sets_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "model.env").write_text(f"{name}=x\n")
    with pytest.raises(StackError, match=f"sets {name}, which the stack sets by itself; remove it"):
        read_model_env(tmp_path / "model.env", ())


def test_a_file_that_is_no_text_is_told_as_that(tmp_path: Path) -> None:
    (tmp_path / "model.env").write_bytes(b"A=\xff\n")
    with pytest.raises(StackError, match=r"can't read .*model\.env \('utf-8' codec .*; correct or remove it"):
        read_model_env(tmp_path / "model.env", ())
