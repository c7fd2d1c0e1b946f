"""Outcomes as sentences, predictions for people."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cli import show
from cli.commands import predict
from cli.commands.cloud import endpoint_in_words, in_words
from cli.commands.pack import describe_normal, speed
from cli.options import for_environment
from cli.terminal import visible
from cli.words import changes_in_words, in_environment, list_changes, verdict
from modelpack.errors import BadInput, EcomdeployError
from stacks.pulumi_driver.driver import Change
from stacks.records.release import Packed, Release, ServingConfiguration, State, Transition
from stacks.run import Outcome
from stacks.spec import Environment, Spec

SPEC = Spec(version=1, service="shop", usecase="recommendation", environment=Environment(cloud="local"))
RELEASE = Release(
    number=4,
    service="shop",
    environment="local",
    pack=Packed(digest="sha256:1", content_digest="sha256:2", input_digest="3", usecase="recommendation"),
    image="127.0.0.1:5000/shop@sha256:1",
    serving=ServingConfiguration(target="sagemaker", instance="ml.c7i.xlarge"),
    restores=1,
    timeline=(Transition(state=State.LIVE, at="2026-11-24T00:00:00+00:00"),),
)
URN = "urn:pulumi:shop-local::ecomdeploy-service::pkg:a:B$aws:sagemaker/model:Model::release-1"


@pytest.mark.parametrize("done", ["live", "updated", "nothing to do", "rolled back", "removed", "status"])
def test_every_outcome_is_one_sentence_about_the_service(done: str) -> None:
    text = verdict(Outcome(done=done, spec=SPEC, driver="fake", release=RELEASE, verified=True))
    assert text.startswith("shop-local: ")
    assert text.endswith(".")


def test_an_update_says_what_was_updated() -> None:
    pushed = Outcome(
        done="updated", spec=SPEC, driver="fake", release=RELEASE, verified=True, pushed_bytes=3000
    )
    assert "3 kB that the registry lacked" in verdict(pushed)
    assert "around it" not in verdict(pushed)
    assert "around it was updated" in verdict(replace(pushed, changes=(Change(URN, "update"),)))


def test_a_rollback_says_whose_bytes_are_back() -> None:
    text = verdict(Outcome(done="rolled back", spec=SPEC, driver="fake", release=RELEASE, verified=True))
    assert "the bytes of release 1" in text
    assert "nothing is deployed" in verdict(Outcome(done="status", spec=SPEC, driver="fake"))


@pytest.mark.parametrize(
    ("said", "for_production"),
    [
        ("ecomdeploy predict --sample 2", "ecomdeploy predict prod --sample 2"),
        ("ecomdeploy up --again", "ecomdeploy up prod --again"),
        ("ecomdeploy releases show N", "ecomdeploy releases show -e prod N"),
        ("ecomdeploy releases", "ecomdeploy releases prod"),
        (
            "or `ecomdeploy rollback`, `ecomdeploy down`",
            "or `ecomdeploy rollback -e prod`, `ecomdeploy down prod`",
        ),
        ("the platform: ecomdeploy platform down", "the platform: ecomdeploy platform down prod"),
        ("ecomdeploy rollback 2", "ecomdeploy rollback -e prod 2"),
        ("ecomdeploy cloud env; ecomdeploy doctor", "ecomdeploy cloud env; ecomdeploy doctor"),
        ("ecomdeploy up staging", "ecomdeploy up staging"),
        ("ecomdeploy approve 3 -e prod", "ecomdeploy approve 3 -e prod"),
        ("ecomdeploy up goes on with it", "ecomdeploy up goes on with it"),
    ],
)
def test_what_to_type_next_is_for_the_environment_at_hand(
    said: str, for_production: str, capsys: pytest.CaptureFixture[str]
) -> None:
    show.next_step(said, environment="prod")
    show.next_step(said, environment="local")
    assert capsys.readouterr().out == f"Next: {for_production}\nNext: {said}\n"


@pytest.mark.parametrize(
    ("given", "hint"), [({}, "ecomdeploy up"), ({"environment": "prod"}, "ecomdeploy up prod")]
)
def test_a_hint_is_for_the_environment_at_hand(given: dict[str, str], hint: str) -> None:
    def refuse(environment: str = "local") -> None:
        raise EcomdeployError("nothing is live", hint="ecomdeploy up")

    with pytest.raises(EcomdeployError) as caught:
        for_environment(refuse)(**given)
    assert caught.value.hint == hint


def test_commands_take_their_environment_where_they_are_told_with_it() -> None:
    """Each command that the words know takes an environment, and the one that is told as an option takes it so."""
    import typer.main

    from cli.app import application

    root = typer.main.get_group(application())
    for words in (
        "approve",
        "releases show",
        "rollback",
        "platform up",
        "down",
        "logs",
        "pack",
        "status",
    ):
        command: Any = root
        for word in words.split():
            command = command.commands[word]
        (one,) = (one for one in command.params if one.name == "environment")
        told = in_environment(f"ecomdeploy {words}", "prod")
        assert told.endswith(" -e prod") == ("-e" in one.opts), words


def test_every_next_step_names_its_environment() -> None:
    """show.next_step puts it in; a "Next: ..." that is said in another way would not."""
    rooms = Path(show.__file__).parent.rglob("*.py")
    assert [one.name for one in rooms if '"Next: ' in one.read_text()] == ["show.py"]


def test_changes_are_counted_and_listed() -> None:
    changes = (Change(URN, "create"), Change(URN, "update", ("tags",)), Change(URN, "create"))
    assert changes_in_words(changes) == "2 created, 1 updated"
    assert list_changes(changes[1:2]) == [["update", "aws:sagemaker/model:Model", "release-1", "tags"]]


def test_a_sample_is_chosen_by_number_or_refused() -> None:
    samples = {"requests": [{"request": 1}, {"request": 2}]}
    assert predict.choose(samples, 2) == {"request": 2}
    with pytest.raises(BadInput, match="2 samples"):
        predict.choose(samples, 3)
    with pytest.raises(BadInput, match="no samples"):
        predict.choose({}, 1)


def test_a_request_is_json_or_a_file(tmp_path: object) -> None:
    assert predict.parse('{"instances": []}') == {"instances": []}
    with pytest.raises(BadInput, match="not JSON"):
        predict.parse("{")
    with pytest.raises(BadInput, match="no such file"):
        predict.parse("@nowhere.json")


def test_predictions_carry_names_and_are_told_with_ranks(capsys: pytest.CaptureFixture[str]) -> None:
    samples = {"names": {"7": "MILK", "8": "EGGS"}}
    rows = [{"products": [7, 9], "scores": [0.5, 0.25]}]
    assert predict.name_predictions(rows, samples) == {"7": "MILK"}
    predict.tell({"about": "household 1", "before": ["BREAD  WHITE"]}, rows, samples)
    said = capsys.readouterr().out
    assert "household 1" in said
    assert "BREAD WHITE" in said
    assert "1.  MILK (7)   0.5000" in said


def test_an_endpoint_in_words() -> None:
    server = {"pid": 7, "image": "x@sha256:1", "variant": "AllTraffic"}
    endpoint = {
        "name": "shop-local", "status": "Failed", "configuration": "c", "failure": "no capacity",
        "isolation": "chroot", "servers": [server],
    }  # fmt: skip
    lines = endpoint_in_words(endpoint)
    assert lines[0] == "shop-local Failed: no capacity, on c"
    assert "(chroot) from x@sha256:1" in lines[1]
    assert in_words({"mutating": 1, "reading": 2}) == "mutating 1, reading 2"
    assert in_words({"kubernetes": "shop", "reason": ""}) == "kubernetes shop", (
        "what is not there is not named"
    )


def test_a_gpu_pack_s_figures_name_what_they_were_measured_on() -> None:
    chosen = {"p99_ms": 5.786, "hardware": "1 thread of a CPU"}
    assert speed({"chosen": chosen}) == "p99 5.79 ms"
    assert speed({"chosen": chosen, "needs": {"hardware": "cpu"}}) == "p99 5.79 ms"
    assert speed({"chosen": chosen, "needs": {"hardware": "cuda"}}) == "p99 5.79 ms on 1 thread of a CPU"


def test_names_from_files_do_not_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    name = "x\x1b]0;owned\x07\x1b[2J\x1b[31mFINE\u202e\x9b2J"
    show.say(name)
    show.complain(name)
    show.write(name)
    said = capsys.readouterr()
    assert not set(said.out + said.err) & set("\x1b\x07\x9b\u202e")
    assert "\\x1b]0;owned" in said.out
    assert visible("two\n\tlines, ümläut, 日本") == "two\n\tlines, ümläut, 日本"


def test_a_pack_says_what_is_normal_by_each_guardrail() -> None:
    normal = {
        "declined": {"share": 0.0017, "answers": 512, "limit": 0.0517},
        "refused": {"share": 0.6, "answers": 66, "limit": 1.0},
    }
    assert describe_normal({"guardrails": normal}) == [
        "declined: normally 0.2% of answers (512 held out); an alarm rings above 5.2%",
        "refused: normally 60.0% of answers (66 held out); no alarm unless one is asked for",
    ]
    assert describe_normal({}) == []
