"""Progress: plain lines for pipes, bars for terminals, nothing for machines; never on stdout."""

from __future__ import annotations

import io
from collections.abc import Callable
from itertools import count

import pytest

from cli.progress import PlainLines, Quiet, Rich, amount_of, choose
from modelpack.progress import Progress


def told(kind: str) -> str:
    stream = io.StringIO()
    clock = count().__next__
    kinds: dict[str, Callable[[], Progress]] = {
        "plain": lambda: PlainLines(stream, lambda: float(clock())),
        "rich": lambda: Rich(stream),
        "quiet": Quiet,
    }
    progress = kinds[kind]()
    progress.step("Training")
    progress.note("kept [int8]: 3.1x")
    progress.table("Passes", ("name", "verdict"), [("int8", "kept"), ("onnx [x]", "dropped")])
    with progress.track("epochs", 10, "epochs") as advance:
        for _ in range(10):
            advance(1)
    return stream.getvalue()


def test_plain_lines_carry_the_time_and_every_tenth_of_a_bar() -> None:
    text = told("plain")
    assert "] Training" in text
    assert "kept [int8]: 3.1x" in text
    assert [line for line in text.splitlines() if "epochs" in line][-1].endswith("10 epochs of 10 epochs")
    assert "\x1b" not in text


def test_rich_keeps_square_brackets() -> None:
    text = told("rich")
    assert "kept [int8]: 3.1x" in text
    assert "onnx [x]" in text


def test_quiet_says_nothing() -> None:
    assert told("quiet") == ""


def test_a_pipe_gets_lines_and_a_machine_nothing() -> None:
    assert isinstance(choose(stream=io.StringIO()), PlainLines)
    assert isinstance(choose(quiet=True), Quiet)


@pytest.mark.parametrize(
    ("value", "unit", "words"),
    [(2_500_000, "B", "2.5 MB"), (3, "epochs", "3 epochs"), (0.5, "turns", "0.5 turns")],
)
def test_amounts_in_words(value: float, unit: str, words: str) -> None:
    assert amount_of(value, unit) == words
