"""Start the limited process on a model file, and take its answer: a folder with an ONNX model, what the library that
wrote the model answers to requests, or BadInput."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

import msgspec

from modelpack.errors import BadInput
from modelpack.formats.signature import Arrays, Signature
from modelpack.inputs.children import OURS
from modelpack.inputs.extras import with_extra
from modelpack.sources.limits import MEMORY, PROOF_SECONDS, TIMES
from modelpack.sources.sandbox import child

WAIT = 4
"""Seconds of waiting for each of processor time: the machine may be busy."""
MOST_ANSWER, MOST_SAID = 1_000_000, 20_000
SAID = "said.txt"
KEPT = ("PATH", "LD_LIBRARY_PATH", "OMP_NUM_THREADS", "TZ")
ENVIRONMENT = {
    "LANG": "C.UTF-8",
    "USER": "model",
    "LOGNAME": "model",
    "CUDA_VISIBLE_DEVICES": "",
    "HF_HUB_OFFLINE": "1",
    "KERAS_BACKEND": "tensorflow",
    "ORT_DISABLE_TELEMETRY": "1",
    "TF_CPP_MIN_LOG_LEVEL": "3",
}


class Reader(Protocol):
    """What a format says of how it is read: see `sources.base.Converted`."""

    @property
    def extra(self) -> str: ...
    @property
    def memory(self) -> int: ...
    @property
    def seconds(self) -> int: ...
    @property
    def program(self) -> str: ...
    @property
    def named(self) -> bool: ...


class Original(Reader, Protocol):
    """And one that can be asked: see `sources.base.LibraryFormat`."""

    @property
    def library(self) -> str: ...


@dataclass(frozen=True)
class Made:
    """The folder in which the child left a model, and what the user should know of how it was read."""

    folder: Path
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Answered:
    """What the library that wrote a model answered, by output name, and its name and version."""

    by: str
    answers: Arrays


def read(reader: Reader, path: Path, parts: Sequence[Path], wanted: Signature | None, folder: Path) -> Made:
    """What the reader's `convert` makes of `path` in a limited process, below the empty `folder`.

    Raises BadInput with the reason that it gave, or with what ended it.
    """
    answer = answer_of(reader, path, plan_of(reader, path, parts, wanted, folder), folder)
    made = folder / child.MADE
    if not stat.S_ISDIR(made.lstat().st_mode) or not all(map(is_plain, made.iterdir())):
        raise BadInput("what was read of it is no plain files", where=str(path))
    return Made(made, tuple(printable(note) for note in answer["notes"]))


def ask(
    reader: Original,
    path: Path,
    parts: Sequence[Path],
    signature: Signature,
    inputs: Arrays,
    most: int,
    folder: Path,
) -> Answered:
    """What the library that wrote the model answers to `inputs`, at most `most` rows a call, in a limited process below
    the empty `folder`. Raises BadInput with the reason that it gave, or with what ended it."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file, save_file

    save_file(dict(inputs), folder / child.ASKED)
    plan = plan_of(reader, path, parts, signature, folder)
    plan["ask"] = {"signature": msgspec.to_builtins(signature), "most": most}
    answer = answer_of(reader, path, plan, folder)
    file = folder / child.ANSWERED
    try:
        if not is_plain(file):
            raise OSError("no plain file")
        answers = load_file(file)
    except (OSError, SafetensorError) as error:
        raise BadInput(f"the process that asks it gave no proper answer: {error}", where=str(path)) from error
    return Answered(printable(answer["notes"][-1]) if answer["notes"] else reader.library, answers)


def is_plain(file: Path) -> bool:
    """Whether it is a file and no link."""
    return file.exists() and stat.S_ISREG(file.lstat().st_mode)


def plan_of(
    reader: Reader, path: Path, parts: Sequence[Path], wanted: Signature | None, folder: Path
) -> dict[str, Any]:
    """What the child is told, to read the model."""
    size = sum(part.stat().st_size for part in parts)
    return {
        "source": f"{type(reader).__module__}:{type(reader).__qualname__}",
        "path": str(path.resolve()),
        "parts": [str(part.resolve()) for part in (*parts, *([path] if path.is_dir() else []))],
        "folder": str(folder.resolve()),
        "wanted": msgspec.to_builtins(wanted),
        "memory": reader.memory + TIMES * size,
        "file": MEMORY + TIMES * size,
        "seconds": reader.seconds,
        "proof": MEMORY + TIMES * size,
        "parent": os.getpid(),
        "ask": None,
    }


def answer_of(reader: Reader, path: Path, plan: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The child's answer when it ended well. Raises BadInput."""
    with (folder / SAID).open("w+b") as said:
        status = run(reader.program, plan, folder, reader.seconds, said)
        said.seek(max(0, said.seek(0, os.SEEK_END) - MOST_SAID))
        words = said.read().decode(errors="replace")
    if status:
        what, hint = explain_end(status, words, plan)
        raise BadInput(what, where=str(path), hint=hint)
    answer = take_answer(folder, path)
    if answer["refused"]:
        raise refuse(answer, reader, path, plan)
    return answer


def run(program: str, plan: dict[str, Any], folder: Path, seconds: int, said: IO[bytes]) -> int:
    """The child's exit status; negative: the signal that ended it. A child that waits for ever is ended."""
    environment = {name: os.environ[name] for name in KEPT if name in os.environ} | ENVIRONMENT
    places = {"HOME": str(folder), "TMPDIR": str(folder)}
    process = subprocess.Popen(
        [sys.executable, "-I", "-P", "-B", program, OURS],
        stdin=subprocess.PIPE,
        stdout=said,
        stderr=said,
        cwd="/",
        env=environment | places,
    )
    try:
        process.communicate(json.dumps(plan).encode(), timeout=seconds * WAIT)
        return process.returncode
    except subprocess.TimeoutExpired:
        return -signal.SIGXCPU
    finally:
        process.kill()
        process.wait()


def explain_end(status: int, said: str, plan: dict[str, Any]) -> tuple[str, str]:
    """Why a child ended without an answer, and what to do, in words."""
    hint = "if you trust where it comes from, convert it to .onnx yourself: docs/models.md"
    if status == -signal.SIGXCPU:
        most = f"{plan['seconds']} s, and {PROOF_SECONDS} s for one row"
        return f"reading it takes more than the processor time a model may have ({most})", hint
    if status == -signal.SIGKILL or (status == -signal.SIGABRT and "alloc" in said):
        return too_much(plan), hint
    if status == -signal.SIGXFSZ:
        return f"it would write more than {plan['file'] / 1e9:.1f} GB", hint
    how = signal.Signals(-status).name if status < 0 else f"status {status}"
    last = printable((said.strip().splitlines() or ["it said nothing"])[-1])
    return f"the process that reads it ended with {how}: {last}", hint


def take_answer(folder: Path, path: Path) -> dict[str, Any]:
    """The child's answer; it may have been taken over, so nothing of it is believed. Raises BadInput."""
    try:
        opened = os.open(folder / child.ANSWER, os.O_RDONLY | os.O_NOFOLLOW)
        with os.fdopen(opened, "rb") as file:
            answer = json.loads(file.read(MOST_ANSWER))
        whole = isinstance(answer["refused"], str | None) and isinstance(answer["hint"], str)
        if not whole or not all(isinstance(note, str) for note in answer["notes"]):
            raise ValueError("another form")
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise BadInput(
            f"the process that reads it gave no proper answer: {error}", where=str(path)
        ) from error
    found: dict[str, Any] = answer
    return found


def refuse(answer: dict[str, Any], reader: Reader, path: Path, plan: dict[str, Any]) -> BadInput:
    """The child's refusal as an error."""
    if answer["refused"] == "memory":
        return BadInput(
            too_much(plan), where=str(path), hint="a model for one row of a shop's data needs less"
        )
    hint = printable(answer["hint"])
    if hint == "missing":
        hint = with_extra(reader.extra)
    return BadInput(printable(answer["refused"]), where=str(path), hint=hint)


def too_much(plan: dict[str, Any]) -> str:
    """That memory ran out, in words."""
    return f"reading it, or answering one row, takes more than {plan['proof'] / 1e9:.1f} GB of memory"


def printable(words: str) -> str:
    """Words from a stranger's file, fit for a terminal."""
    return "".join(one if one.isprintable() else "?" for one in words)[:500]
