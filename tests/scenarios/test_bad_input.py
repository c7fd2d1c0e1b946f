"""Bad input: an exit code, one clear message with path and line, no traceback, and no call where the spec is bad."""

from __future__ import annotations

import json
import signal
import socket

import pytest
from typed import Terminal


@pytest.fixture
def project(terminal: Terminal) -> Terminal:
    terminal.type("init", "recommendation", "shop")
    return terminal.into("shop")


CASES = {
    "unknown key": (
        r"^scale: .*",
        "scale: {min: 1, max: 4, target_rsp: 120}",
        "scale.target_rsp",
        "target_rps",
    ),
    "wrong type": (r"^scale: .*", "scale: {min: one}", "scale.min", "whole number"),
    "negative replicas": (r"^scale: .*", "scale: {min: -2, max: 4}", "scale.min", "-2"),
    "min above max": (r"^scale: .*", "scale: {min: 2, max: 1}", "scale.max", "below scale.min"),
    "unknown use case": (r"^usecase: .*", "usecase: recomendation", "usecase", "recommendation"),
    "unknown target": (r"target: sagemaker", "target: sagemakr", "serve.target", "sagemaker"),
    "unknown instance": (r"ml\.c7i\.xlarge", "ml.c7i.xlrge", "serve.instance", "ml.c7i.xlarge"),
    "unknown pass": (r"gate: \{", "passes: [onx]\n  gate: {", "pack.passes", "onnx"),
    "short shadow": (
        r"strategy: all-at-once",
        "strategy: shadow\n  shadow: {bake: 1m}",
        "rollout.shadow.bake",
        "no alarm can ring within 1m",
    ),
    "broken YAML": (r"^service: .*", "service: [shop", "", "ecomdeploy.yaml"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_bad_spec_is_refused_with_path_and_line(project: Terminal, case: str) -> None:
    pattern, replacement, path, words = CASES[case]
    project.edit(pattern, replacement)
    for command in (("up", "--yes"), ("plan",)):
        typed = project.type(*command, "--json", expect=2)
        assert words in typed.json["error"]["what"]
        assert "ecomdeploy.yaml:" in typed.json["error"]["what"]
        assert path in typed.json["error"]["what"]
    assert not (project.home / "cloud").exists(), "no cloud may be started for a bad spec"


def test_all_errors_are_told_at_once(project: Terminal) -> None:
    project.edit(r"^scale: .*", "scale: {min: -2, mux: 4}")
    project.edit(r"^usecase: .*", "usecase: recomendation")
    problems = project.type("up", "--yes", "--json", expect=2).json["error"]["problems"]
    assert {one["path"] for one in problems} >= {"scale.min", "scale.mux", "usecase"}


def test_no_spec_at_all(terminal: Terminal) -> None:
    typed = terminal.type("up", "--yes", "--json", expect=2)
    assert "ecomdeploy init" in typed.json["error"]["hint"] + typed.json["error"]["what"] + str(typed.json)


def test_a_model_file_that_is_not_one(project: Terminal) -> None:
    project.edit(r"^  train: .*", "  path: model.onnx")
    missing = project.type("up", "--yes", "--json", expect=2)
    assert "model.onnx" in missing.json["error"]["what"]
    (project.folder / "model.onnx").write_bytes(b"\x08\x07garbage" * 100)
    corrupt = project.type("up", "--yes", "--json", expect=2)
    assert "model.onnx" in corrupt.json["error"]["what"]
    project.edit(r"model.onnx", "model.safetensors")
    (project.folder / "model.safetensors").write_bytes(b"\xff" * 64)
    assert "model.safetensors" in project.type("pack", "--json", expect=2).json["error"]["what"]


def test_a_port_in_use(terminal: Terminal) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        typed = terminal.type("cloud", "start", "--port", str(port), "--json", expect=2)
        assert str(port) in typed.json["error"]["what"]
        assert "--port" in typed.json["error"]["hint"]


def test_nothing_to_ask_and_nothing_to_roll_back(project: Terminal) -> None:
    assert "ecomdeploy up" in project.type("predict", "--json", expect=2).json["error"]["hint"]
    assert "ecomdeploy up" in project.type("rollback", "--yes", "--json", expect=2).json["error"]["hint"]
    assert project.type("releases", "--json").json == []


def test_unknown_words_on_the_command_line(terminal: Terminal) -> None:
    assert "up" in terminal.type("upp", expect=2).err
    assert "recommendation" in terminal.type("init", "recomendation", expect=2).err
    assert terminal.type("cloud", "fault", "earthquake", expect=2).err


def test_an_interrupted_up_says_that_it_is_safe(project: Terminal) -> None:
    process = project.start("up", "--json")
    try:
        assert process.stderr is not None
        next(line for line in process.stderr if "Preparing data" in line)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=300)
    finally:
        process.kill()
    assert process.returncode == 130
    assert "goes on from here" in err
    assert json.loads(out)["error"]["exit_code"] == 130
    assert "Traceback" not in err
