"""Progress: plain lines for pipes, bars for terminals, nothing for machines; never on stdout."""

from __future__ import annotations

import ast
import io
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

import pytest

from cli.progress import PlainLines, Rich, amount_of, choose
from modelpack.progress import Progress, Silent


def told(kind: str) -> str:
    stream = io.StringIO()
    clock = count().__next__
    kinds: dict[str, Callable[[], Progress]] = {
        "plain": lambda: PlainLines(stream, lambda: float(clock())),
        "rich": lambda: Rich(stream),
        "quiet": Silent,
    }
    progress = kinds[kind]()
    progress.step("Training")
    progress.note("kept [int8]: 3.1x")
    progress.table("Passes", ("name", "verdict"), [("int8", "kept"), ("onnx [x]", "dropped")])
    with progress.track("epochs", 10, "epochs") as advance:
        for _ in range(10):
            advance(1)
    return stream.getvalue()


def test_plain_lines_carry_the_time_and_one_line_a_bar() -> None:
    text = told("plain")
    assert "] Training" in text
    assert "kept [int8]: 3.1x" in text
    assert [line.strip() for line in text.splitlines() if "epochs" in line] == [
        "epochs: 10 epochs of 10 epochs"
    ]
    assert "\x1b" not in text


def test_a_bar_that_takes_long_tells_its_state_once_a_minute() -> None:
    stream, seconds = io.StringIO(), count(step=20)
    progress = PlainLines(stream, lambda: float(next(seconds)))
    with progress.track("epochs", 8, "epochs") as advance:
        for _ in range(9):
            advance(1)
    told = [line.strip().partition(" of")[0] for line in stream.getvalue().splitlines()]
    assert told == ["epochs: 3 epochs", "epochs: 6 epochs", "epochs: 8 epochs"]


def test_lines_of_many_threads_stay_whole() -> None:
    class Slow(io.StringIO):
        """Lets another thread in between two writes."""

        def write(self, text: str) -> int:
            time.sleep(0)
            return super().write(text)

    stream = Slow()
    progress = PlainLines(stream)
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda number: progress.note(f"layer {number}"), range(200)))
    assert sorted(stream.getvalue().split()) == sorted([*["layer"] * 200, *map(str, range(200))])
    assert all(line.strip().count("layer") == 1 for line in stream.getvalue().splitlines())


def test_rich_keeps_square_brackets() -> None:
    text = told("rich")
    assert "kept [int8]: 3.1x" in text
    assert "onnx [x]" in text


COLUMNS = ("pass", "accuracy", "p50 ms", "p99 ms", "rows/CPU-s", "MB", "verdict")
REASON = "dropped: not applicable: no embedding table of at least 256 rows that this pass can change"


@pytest.mark.parametrize("width", [60, 80, 160])
def test_a_verdict_can_be_read_on_any_terminal(width: int) -> None:
    stream = io.StringIO()
    progress = Rich(stream)
    progress.console.width = width
    row = ("embedding-int8", "0.9960", "0.02", "0.26", "31,422", "0.00", REASON)
    progress.table("Optimization passes", COLUMNS, [row])
    lines = stream.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    assert len(lines) <= 10
    assert all(any(word in line for line in lines) for word in f"{' '.join(row)}".split())


@pytest.mark.parametrize("kind", ["plain", "rich"])
def test_names_from_files_steer_no_terminal(kind: str) -> None:
    stream = io.StringIO()
    progress: Progress = PlainLines(stream) if kind == "plain" else Rich(stream)
    name = "x\x1b]0;owned\x07\x1b[2J\x9b31m\u202e[bold red]FINE[/]\ud800"
    progress.step(name)
    progress.note(name)
    progress.table(name, (name, "b"), [(name, name)])
    with progress.track(name, 1, "epochs") as advance:
        advance(1)
    said = stream.getvalue()
    assert not set(said) & set("\x1b\x07\x9b\u202e\ud800")
    assert "\\x1b]0;owned" in said.replace("\n", "")
    assert "[bold red]FINE[/]" in said


def test_one_place_writes_to_a_terminal(repository: Path) -> None:
    """Elsewhere in the command line nothing is printed, so nothing is printed uncleaned."""
    writers = {"print", "echo", "secho", "write", "writelines"}
    found = {
        f"{file.relative_to(repository)}: {ast.unparse(call)[:60]}"
        for file in (repository / "cli").rglob("*.py")
        if file.name not in ("show.py", "progress.py")
        for call in ast.walk(ast.parse(file.read_text()))
        if isinstance(call, ast.Call)
        and (
            (isinstance(call.func, ast.Name) and call.func.id == "print")
            or (
                isinstance(call.func, ast.Attribute)
                and call.func.attr in writers
                and ast.unparse(call.func.value) in ("typer", "click", "sys.stdout", "sys.stderr", "console")
            )
        )
    }
    assert not found


def test_quiet_says_nothing() -> None:
    assert told("quiet") == ""


def test_a_pipe_gets_lines_and_a_machine_nothing() -> None:
    assert isinstance(choose(stream=io.StringIO()), PlainLines)
    assert isinstance(choose(quiet=True), Silent)


@pytest.mark.parametrize(
    ("value", "unit", "words"),
    [
        (2_500_000, "B", "2.5 MB"),
        (77_431, "B", "77 kB"),
        (0, "B", "0 kB"),
        (3, "epochs", "3 epochs"),
        (0.5, "turns", "0.5 turns"),
    ],
)
def test_amounts_in_words(value: float, unit: str, words: str) -> None:
    assert amount_of(value, unit) == words
