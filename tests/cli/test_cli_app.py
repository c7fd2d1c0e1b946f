"""The command line in this process: one error exit, one JSON document, words that help."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from cli import app, options, show, wiring
from cli.commands import init
from modelpack.errors import BadInput, CloudRefused, EcomdeployError, Locked, NotApproved, Problem, Unhealthy


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECOMDEPLOY_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("ECOMDEPLOY_TRACE", raising=False)
    monkeypatch.chdir(tmp_path)


def test_every_command_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    for command in (
        "init",
        "plan",
        "up",
        "status",
        "predict",
        "releases",
        "rollback",
        "down",
        "pack",
        "score",
        "logs",
        "doctor",
    ):
        assert app.run([command, "--help"]) == 0
        assert command in capsys.readouterr().out
    for group, names in (
        ("platform", ("plan", "up", "down")),
        ("cloud", ("start", "stop", "status", "reset", "env")),
    ):
        assert app.run([group, "--help"]) == 0
        shown = capsys.readouterr().out
        assert all(name in shown for name in names)


def test_a_mistyped_command_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["rolback"]) == 2
    said = capsys.readouterr()
    assert "rollback" in said.err
    assert said.out == ""


@pytest.mark.parametrize("typed", [(), ("cloud",), ("platform",)])
def test_an_unfinished_command_shows_help_and_no_error(
    typed: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert app.run(typed) == 2
    said = capsys.readouterr()
    assert "Usage: ecomdeploy" in said.out
    assert said.err == ""


@pytest.mark.parametrize(
    ("typed", "help_of"),
    [
        (("upp",), ""),
        (("cloud", "fault"), "cloud fault"),
        (("rollback", "x"), "rollback"),
        (("up", "-x"), "up"),
    ],
)
def test_a_slip_leads_to_the_help_of_what_was_typed(
    typed: tuple[str, ...], help_of: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert app.run([*typed, "--json"]) == 2
    said = capsys.readouterr()
    hint = " ".join(["ecomdeploy", *help_of.split(), "--help"])
    assert json.loads(said.out)["error"]["hint"] == hint
    assert f"Hint: {hint}" in said.err


def test_with_json_an_error_is_one_document_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["up", "--json"]) == 2
    said = capsys.readouterr()
    error = json.loads(said.out)["error"]
    assert error["exit_code"] == 2
    assert "ecomdeploy.yaml" in error["what"]
    assert "Error:" in said.err


def test_init_writes_a_project_that_loads_and_never_overwrites(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert app.run(["init", "recommendation", "My Shop!"]) == 0
    spec = tmp_path / "My Shop!" / "ecomdeploy.yaml"
    assert "service: my-shop " in spec.read_text()
    assert "ecomdeploy up" in capsys.readouterr().out.splitlines()[-1]
    assert app.run(["releases", "-C", str(spec.parent), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []
    before = spec.read_text()
    assert app.run(["init", "recommendation", "My Shop!"]) == 2
    assert "Hint: cd 'My Shop!' && ecomdeploy up" in capsys.readouterr().err
    assert spec.read_text() == before


@pytest.mark.parametrize("usecase", ["recommendation", "marketing-uplift", "./a_long_name.py:OfAClassOfMine"])
def test_comments_of_a_project_stand_below_each_other(usecase: str, tmp_path: Path) -> None:
    assert app.run(["init", usecase, "shop"]) == 0
    lines = (tmp_path / "shop" / "ecomdeploy.yaml").read_text().splitlines()
    commented = [
        line.rpartition(" # ")[0] for line in lines if not line.startswith(("#", "  # ")) and " # " in line
    ]
    assert len(commented) >= 7
    assert [len(before) for before in commented] == [max(33, len(before.rstrip())) for before in commented]


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("shop", "shop"),
        ("Shop 24/7".replace("/", "_"), "shop-24-7"),
        ("2nd", "recommendation"),
        ("x" * 60, "x" * 40),
    ],
)
def test_a_folder_gives_a_service_name(tmp_path: Path, folder: str, name: str) -> None:
    assert init.service_name(tmp_path / folder, "recommendation") == name


@pytest.mark.parametrize("environment", ["local", "prod"])
def test_the_spec_of_the_docs_is_one(environment: str, tmp_path: Path, repository: Path) -> None:
    page = (repository / "docs" / "spec.md").read_text()
    example, *_ = re.findall(r"^```yaml\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    (tmp_path / "ecomdeploy.yaml").write_text(example)
    spec = wiring.load_spec(tmp_path, environment)
    assert (spec.service, spec.environment.name) == ("shop-recs", environment)


def test_every_error_has_its_exit_code_and_no_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    for error, code in (
        (EcomdeployError("it broke", hint="do this"), 1),
        (
            BadInput(
                [Problem("bad", "a.yaml:3", "scale.max", "use 4"), Problem("worse", "a.yaml:4", "scale.min")]
            ),
            2,
        ),
        (Locked("busy"), 3),
        (Unhealthy("wrong answers"), 4),
        (CloudRefused("no quota"), 5),
    ):
        assert error.exit_code == code
        show.error(error, as_json=True)
        said = capsys.readouterr()
        assert json.loads(said.out)["error"]["exit_code"] == code
        assert error.hint in said.err
    assert "a.yaml:3: scale.max: bad (use 4)" in str(
        BadInput([Problem("bad", "a.yaml:3", "scale.max", "use 4")])
    )


@pytest.mark.parametrize("kind", [EcomdeployError, BadInput, Locked, Unhealthy, CloudRefused, NotApproved])
def test_an_error_that_gives_no_hint_still_leads_on(
    kind: type[EcomdeployError], capsys: pytest.CaptureFixture[str]
) -> None:
    show.error(kind("it broke"), as_json=True)
    said = capsys.readouterr()
    assert (hint := json.loads(said.out)["error"]["hint"])
    assert f"Hint: {hint}" in said.err
    show.error(BadInput([Problem("bad", "a.yaml:3", "scale.max", "use 4")]), as_json=False)
    assert "Hint" not in capsys.readouterr().err, "it says so behind the problem"


def test_a_fault_of_ours_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    show.bug(ZeroDivisionError("division by zero"), as_json=True)
    said = capsys.readouterr()
    assert "ECOMDEPLOY_TRACE" in json.loads(said.out)["error"]["hint"]
    assert "ZeroDivisionError" in said.err


def test_without_a_terminal_nothing_is_asked(capsys: pytest.CaptureFixture[str]) -> None:
    options.confirm("Remove it?", yes=False, careful=False)
    options.confirm("Remove it?", yes=True, careful=True)
    with pytest.raises(BadInput, match="not a terminal"):
        options.confirm("Remove it?", yes=False, careful=True)


def test_doctor_finds_this_machine_fit(capsys: pytest.CaptureFixture[str]) -> None:
    code = app.run(["doctor", "--json"])
    findings = {one["name"]: one for one in json.loads(capsys.readouterr().out)}
    assert findings["machine"]["severity"] == "ok"
    assert {"disk", "packages", "spec", "cloud", "isolation"} <= set(findings)
    assert all(one["remedy"] for one in findings.values() if one["severity"] == "failure")
    assert code == (1 if any(one["severity"] == "failure" for one in findings.values()) else 0)


def test_doctor_names_the_lines_of_a_bad_spec(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "ecomdeploy.yaml").write_text("version: 1\nservice: shop\nusecase: recommendatoin\n")
    assert app.run(["doctor", "--json"]) == 1
    spec = next(one for one in json.loads(capsys.readouterr().out) if one["name"] == "spec")
    assert spec["severity"] == "failure"
    assert "ecomdeploy.yaml:3" in spec["message"]
