"""The Automation API's command lines: stacks, configuration, outputs, history, errors."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import textwrap
from importlib.metadata import version
from typing import Any

import pulumi
import pytest
from pulumi import automation
from semver import VersionInfo


def run(lab: Any, *words: Any, **environment: Any) -> Any:
    return lab.command.run(list(words), str(lab.work), lab.environment | environment)


def test_version_is_the_sdks(lab: Any) -> None:
    assert lab.command.version == VersionInfo.parse(version("pulumi"))
    assert run(lab, "version").stdout == f"v{lab.command.version}"
    assert lab.stack().workspace.pulumi_version == str(lab.command.version)


def test_stack_classes_of_errors(lab: Any) -> None:
    work: dict[str, Any] = {"project_name": "shop", "program": lambda: None}
    options = automation.LocalWorkspaceOptions(
        work_dir=str(lab.work), pulumi_command=lab.command, env_vars=lab.environment
    )
    with pytest.raises(automation.StackNotFoundError):
        automation.select_stack("dev", opts=options, **work)
    automation.create_stack("dev", opts=options, **work)
    with pytest.raises(automation.StackAlreadyExistsError):
        automation.create_stack("dev", opts=options, **work)
    assert automation.create_or_select_stack("dev", opts=options, **work).name == "dev"


def test_select_and_remove(lab: Any, thing: Any) -> None:
    stack = lab.stack(lambda: thing("first") and None)
    stack.workspace.select_stack("dev")
    stack.up()
    with pytest.raises(automation.CommandError, match="still has resources"):
        stack.workspace.remove_stack("dev")
    stack.destroy()
    stack.workspace.remove_stack("dev")
    with pytest.raises(automation.StackNotFoundError):
        stack.workspace.select_stack("dev")
    assert not lab.checkpoint.exists()
    assert not (lab.work / "Pulumi.dev.yaml").exists()


def test_config_round_trip(lab: Any) -> None:
    seen: dict[str, Any] = {}

    def program() -> None:
        config = pulumi.Config()
        seen.update(settings=config.require("settings"), region=pulumi.Config("aws").require("region"))
        config.require_secret("pw").apply(lambda value: seen.update(pw=value))

    stack = lab.stack(program)
    stack.set_config("settings", automation.ConfigValue('{"a": [1, 2], "b": "x=y"}'))
    stack.set_config("aws:region", automation.ConfigValue("eu-west-1"))
    stack.set_config("pw", automation.ConfigValue("open sesame = 1", secret=True))
    text = (lab.work / "Pulumi.dev.yaml").read_text()
    assert "sesame" not in text
    stack.set_config("pw", automation.ConfigValue("open sesame = 1", secret=True))
    assert (lab.work / "Pulumi.dev.yaml").read_text() == text
    lab.up(program)
    assert seen == {"settings": '{"a": [1, 2], "b": "x=y"}', "region": "eu-west-1", "pw": "open sesame = 1"}


def test_program_sees_its_config(lab: Any, thing: Any) -> None:
    seen: dict[str, Any] = {}

    def program() -> None:
        seen["settings"] = pulumi.Config().require_object("settings")
        seen["secret"] = pulumi.Config().require_secret("pw")
        seen["stack"] = (pulumi.get_stack(), pulumi.get_project(), pulumi.get_organization())

    stack = lab.stack(program)
    stack.set_config("settings", automation.ConfigValue('{"n": 1}'))
    stack.set_config("pw", automation.ConfigValue("open-sesame", secret=True))
    lab.up(program)
    assert seen["settings"] == {"n": 1}
    assert isinstance(seen["secret"], pulumi.Output)
    assert seen["stack"] == ("dev", "shop", "organization")


def test_history_has_every_operation_with_its_config(lab: Any, thing: Any) -> None:
    stack = lab.stack(lambda: thing("first") and None)
    stack.set_config("pw", automation.ConfigValue("open-sesame", secret=True))
    stack.up(message="first try")
    stack.refresh()
    stack.destroy()
    listed = stack.history()
    assert [(one.kind, one.result, one.version) for one in listed] == [
        ("destroy", "succeeded", 3),
        ("refresh", "succeeded", 2),
        ("update", "succeeded", 1),
    ]
    assert listed[2].message == "first try"
    assert listed[2].config["shop:pw"].value == "[secret]"
    assert [one.version for one in stack.history(page_size=1, page=2)] == [2]


def test_outputs_are_masked_unless_asked(lab: Any) -> None:
    def program() -> None:
        pulumi.export("plain", {"a": [1, 2.5, None, True]})
        pulumi.export("hidden", pulumi.Output.secret({"b": "open-sesame"}))

    outputs = lab.up(program).outputs
    assert outputs["plain"].value == {"a": [1, 2.5, None, True]}
    assert (outputs["hidden"].value, outputs["hidden"].secret) == ({"b": "open-sesame"}, True)
    assert json.loads(run(lab, "stack", "output", "--json", "--stack", "dev").stdout)["hidden"] == "[secret]"


def test_the_event_log_is_numbered_and_ends_with_the_summary(lab: Any, thing: Any) -> None:
    events = lab.up(lambda: thing("first") and None).events
    assert [event.sequence for event in events] == list(range(len(events)))
    assert events[-2].summary_event.resource_changes == {"create": 2}
    assert events[-1].cancel_event


def test_checkpoint_is_version_3_with_pulumis_magic(lab: Any, thing: Any, fake_provider: Any) -> None:
    def program() -> None:
        provider = fake_provider("here", {"region": "x"})
        first = thing("first", {}, pulumi.ResourceOptions(provider=provider))
        thing("second", {"of": first.arn}, pulumi.ResourceOptions(protect=True, retain_on_delete=True))

    lab.up(program)
    document = json.loads(lab.checkpoint.read_text())
    assert document["version"] == 3
    assert document["checkpoint"]["stack"] == "organization/shop/dev"
    latest = document["checkpoint"]["latest"]
    manifest = latest["manifest"]
    assert manifest["magic"] == hashlib.sha256(manifest["version"].encode()).hexdigest()
    assert latest["secrets_providers"]["state"]["salt"].startswith("v1:")
    second = lab.resources["second"]
    assert second["propertyDependencies"] == {"of": [lab.resources["first"]["urn"]]}
    assert (second["protect"], second["retainOnDelete"]) == (True, True)
    assert {"urn", "custom", "id", "type", "inputs", "outputs", "created", "modified"} <= set(second)


def test_backup_is_the_state_before_the_operation(lab: Any, thing: Any) -> None:
    lab.up(lambda: thing("first") and None)
    before = lab.checkpoint.read_bytes()

    def program() -> None:
        thing("first")
        thing("second")

    lab.up(program)
    assert lab.checkpoint.with_name("dev.json.bak").read_bytes() == before


@pytest.mark.parametrize(
    ("options", "what"),
    [
        (pulumi.ResourceOptions(import_="i-1"), "the option import"),
        (pulumi.ResourceOptions(replacement_trigger="x"), "the option replacement_trigger"),
        (
            pulumi.ResourceOptions(custom_timeouts=pulumi.CustomTimeouts(create="1h")),
            "the option custom_timeouts",
        ),
        (pulumi.ResourceOptions(replace_on_changes=["size"]), "the option replace_on_changes"),
    ],
)
def test_options_beyond_the_width_are_refused_by_name(lab: Any, thing: Any, options: Any, what: Any) -> None:
    with pytest.raises(automation.CommandError, match=f"{what}.*use the Pulumi CLI"):
        lab.up(lambda: thing("first", {}, options) and None)
    assert lab.fake.mutations == []


def test_an_alias_that_would_matter_is_refused_and_another_is_not(lab: Any, thing: Any) -> None:
    def program(name: Any, *former: Any) -> Any:
        def run() -> None:
            thing(name, {}, pulumi.ResourceOptions(aliases=[pulumi.Alias(name=one) for one in former]))

        return run

    lab.up(program("old", "older"))
    with pytest.raises(automation.CommandError, match=r"the option aliases .*use the Pulumi CLI"):
        lab.up(program("new", "old"))
    assert lab.fake.mutations == ["create old"]


def test_resources_another_engine_only_read_are_refused(lab: Any, thing: Any) -> None:
    lab.up(lambda: thing("first") and None)
    document = json.loads(lab.checkpoint.read_text())
    document["checkpoint"]["latest"]["resources"][-1]["external"] = True
    lab.checkpoint.write_text(json.dumps(document))
    with pytest.raises(automation.CommandError, match="was read, not made"):
        lab.preview(lambda: thing("first") and None)


@pytest.mark.parametrize("name", ["../dev", "a b", "x" * 101])
def test_stack_names_cannot_leave_their_folder(lab: Any, name: Any) -> None:
    with pytest.raises(automation.CommandError):
        lab.stack(name=name)


def test_other_things_beyond_the_width_are_refused_by_name(lab: Any, thing: Any) -> None:
    for program, what in (
        (lambda: print(pulumi.StackReference("organization/other/dev")), "a StackReference"),
        (lambda: thing("first", {}, pulumi.ResourceOptions(id="i-1")) and None, "get of fake:index:Thing"),
        (
            lambda: pulumi.CustomResource("other:index:Thing", "x", {}) and None,
            "no provider for package other",
        ),
    ):
        with pytest.raises(automation.CommandError, match=what):
            lab.up(program)


@pytest.mark.parametrize(
    "words",
    [
        "up --target urn",
        "up --expect-no-changes",
        "up --event-log events.json",
        "preview --json",
        "config --json",
        "config get a --json",
        "config set-all --plaintext a=b",
        "stack ls --json",
        "stack export",
        "stack import --file state.json",
        "stack rename x",
        "state edit",
        "import",
        "whoami",
    ],
)
def test_commands_beyond_the_width_are_refused_by_name(lab: Any, words: Any) -> None:
    lab.stack()
    with pytest.raises(automation.CommandError, match="use the Pulumi CLI"):
        run(lab, *words.split(), "--stack", "dev")


def test_bad_surroundings_are_said_plainly(lab: Any, tmp_path: Any) -> None:
    lab.stack()
    with pytest.raises(automation.CommandError, match="set PULUMI_BACKEND_URL=file:///FOLDER"):
        run(lab, "stack", "select", "--stack", "dev", PULUMI_BACKEND_URL="s3://bucket")
    lab.up(lambda: pulumi.export("a", 1))
    without = {key: value for key, value in lab.environment.items() if key != "PULUMI_CONFIG_PASSPHRASE"}
    with pytest.raises(automation.CommandError, match="passphrase must be set"):
        lab.command.run(["stack", "output", "--stack", "dev"], str(lab.work), without)
    (tmp_path / "empty").mkdir()
    with pytest.raises(automation.CommandError, match=r"no Pulumi\.yaml project file found"):
        lab.command.run(["stack", "select", "--stack", "dev"], "/", lab.environment)
    lab.checkpoint.write_text("{")
    with pytest.raises(automation.CommandError, match="is not JSON"):
        run(lab, "stack", "output", "--stack", "dev")


PROGRAM = """
import sys
import pulumi
print("hello from", __name__)
class Thing(pulumi.CustomResource):
    def __init__(self, name, inputs):
        super().__init__("fake:index:Thing", name, {"arn": None, **inputs})
import beside
if pulumi.Config().get_bool("broken"):
    raise ValueError("broken on purpose")
Thing("first", {"size": beside.SIZE})
pulumi.log.warn("mind the gap")
pulumi.export("preview", pulumi.runtime.is_dry_run())
"""


def local_stack(lab: Any, tmp_path: Any) -> Any:
    folder = tmp_path / "project" / "program"
    folder.mkdir(parents=True, exist_ok=True)
    (folder.parent / "Pulumi.yaml").write_text("name: local\nruntime: {name: python}\nmain: program\n")
    (folder / "__main__.py").write_text(textwrap.dedent(PROGRAM))
    (folder / "beside.py").write_text("SIZE = 3\n")
    options = automation.LocalWorkspaceOptions(pulumi_command=lab.command, env_vars=lab.environment)
    return automation.create_or_select_stack("dev", work_dir=str(folder.parent), opts=options)


def test_a_program_in_a_folder_runs_in_its_own_interpreter(lab: Any, tmp_path: Any) -> None:
    stack = local_stack(lab, tmp_path)
    assert stack.preview().change_summary == {"create": 2}
    lines: list[str] = []
    result = stack.up(on_output=lines.append)
    assert result.outputs["preview"].value is False
    assert "  hello from __main__" in lines
    assert "  warning: mind the gap" in lines
    (made,) = lab.fake.things.values()
    assert made.inputs["size"] == 3
    assert stack.up().summary.resource_changes == {"same": 2}
    stack.destroy()


def test_a_broken_program_in_a_folder_shows_its_own_frames_only(lab: Any, tmp_path: Any) -> None:
    stack = local_stack(lab, tmp_path)
    stack.set_config("broken", automation.ConfigValue("true"))
    with pytest.raises(automation.RuntimeError) as caught:
        stack.up()
    text = str(caught.value)
    assert "broken on purpose" in text
    assert "program/__main__.py" in text
    assert "infra/rehearsal" not in text


@pytest.mark.skipif(shutil.which("pulumi") is None, reason="needs the real Pulumi CLI")
def test_the_real_cli_agrees_and_reads_our_state(lab: Any, group: Any) -> None:
    def program() -> None:
        shop = group("shop")
        shop.register_outputs({"a": 1})
        pulumi.export("hidden", pulumi.Output.secret("open-sesame"))

    ours = lab.up(program)
    options = automation.LocalWorkspaceOptions(env_vars=lab.environment, work_dir=str(lab.work))
    stack = automation.create_or_select_stack("dev", project_name="shop", program=program, opts=options)
    assert stack.preview().change_summary == {"same": 2}
    stack.destroy()
    theirs = stack.up()
    assert dict(theirs.summary.resource_changes or {}) == ours.counts
    assert theirs.outputs["hidden"].value == ours.outputs["hidden"].value
    assert lab.preview(program).counts == {"same": 2}


def test_the_command_module_is_light() -> None:
    code = (
        "import sys, infra.rehearsal.engine.commands.command as c; "
        "print({'torch', 'onnx', 'pandas', 'boto3', 'moto', 'pulumi_aws', 'cryptography'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
