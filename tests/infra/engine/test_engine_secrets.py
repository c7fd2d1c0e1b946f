"""Secrets: Pulumi's own format, never in the clear anywhere but at the provider."""

from __future__ import annotations

from typing import Any

import pulumi
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pulumi import automation

from infra.rehearsal.engine.errors import WrongPassphrase
from infra.rehearsal.engine.provider import ProviderError
from infra.rehearsal.engine.redaction import Redactor, restore_secrets
from infra.rehearsal.engine.state.crypt import Keyring, Vault, decrypt, encrypt
from infra.rehearsal.engine.values import Secret

# Written by Pulumi itself: pulumi/pulumi, pkg/secrets/passphrase/manager_test.go.
PULUMIS_SALTS = {
    "password": "v1:fozI5u6B030=:v1:F+6ZduKKd8G0/V7L:PGMFeIzwobWRKmEAzUdaQHqC5mMRIQ==",
    "": "v1:LVuDkcjhUns=:v1:WPbL+tmbxnqWswQ2:lebZxStyHT3IZkmbN+3xCx9zqtoPog==",
}
WORD = "open-sesame-91"


@pytest.mark.parametrize("passphrase", PULUMIS_SALTS)
def test_opens_what_pulumi_encrypted(passphrase: Any) -> None:
    vault = Vault(Keyring(), passphrase, PULUMIS_SALTS[passphrase])
    assert vault.decrypt(vault.encrypt("text")) == "text"


def test_wrong_passphrase_is_told(keys: Any) -> None:
    with pytest.raises(WrongPassphrase, match="incorrect passphrase"):
        Vault(keys[0], "wrong", PULUMIS_SALTS["password"]).encrypt("text")


@given(st.text(), st.binary(min_size=32, max_size=32))
def test_encryption_round_trip(text: Any, key: Any) -> None:
    assert decrypt(key, encrypt(key, text)) == text


def test_vault_keeps_ciphertexts_and_differs_between_texts(keys: Any) -> None:
    vault = Vault(keys[0], "correct horse", keys[1])
    ciphertext = vault.encrypt("a")
    assert vault.encrypt("a") == ciphertext
    assert vault.encrypt("b") != ciphertext
    again = Vault(keys[0], "correct horse", keys[1])
    assert again.decrypt(ciphertext) == "a"
    assert again.encrypt("a") == ciphertext


@given(st.dictionaries(st.text(max_size=3), st.text(min_size=4, max_size=12), min_size=1))
def test_marks_come_back_on_every_copy_of_a_secret(fields: Any) -> None:
    sent = {name: Secret(value) for name, value in fields.items()}
    answer = {**fields, "copy": list(fields.values())}
    marked = restore_secrets(answer, sent)
    assert all(isinstance(value, Secret) for value in marked.values())


def test_redactor_knows_parts_of_values() -> None:
    redactor = Redactor()
    redactor.learn({"environment": {"TOKEN": Secret({"inner": WORD})}})
    assert redactor.clean(f"bad value {WORD}!") == "bad value [secret]!"


def everything(lab: Any) -> Any:
    return {path: path.read_bytes() for path in lab.root.rglob("*") if path.is_file()}


def test_never_in_the_clear_in_files_events_or_text(lab: Any, thing: Any) -> None:
    def program() -> None:
        config = pulumi.Config()
        first = thing(
            "first", {"password": config.require_secret("pw"), "deep": {"a": [pulumi.Output.secret(WORD)]}}
        )
        thing("second", {"of": first.password, "copied": "no"})
        pulumi.export("password", first.password)
        pulumi.export("plain", "seen")

    thing.password = None
    thing.__annotations__["password"] = pulumi.Output[str]
    lab.stack(program).set_config("pw", automation.ConfigValue(WORD, secret=True))
    create = lab.fake.create

    def copying(type: Any, who: Any, inputs: Any, **options: Any) -> Any:  # noqa: A002
        made = create(type, who, inputs, **options)
        made.outputs["copyOf"] = {"all": inputs}
        return made

    lab.fake.create = copying
    preview = lab.preview(program)
    run = lab.up(program)
    second = lab.up(program)
    assert {one.inputs.get("password", one.inputs.get("of")) for one in lab.fake.things.values()} == {WORD}
    assert run.outputs["password"].value == WORD
    assert run.outputs["password"].secret
    assert not run.outputs["plain"].secret
    for one in (preview, run, second):
        assert WORD not in one.text
        assert WORD not in repr([event.__dict__ for event in one.events])
    lab.refresh()
    for path, content in everything(lab).items():
        assert WORD.encode() not in content, path
    assert second.changed == []


def test_a_default_providers_secret_configuration_is_encrypted(lab: Any, thing: Any) -> None:
    """In the state, its backup and the history; the provider gets the value, and keeps it when it is read back."""

    def program() -> None:
        thing("first", {"size": 1})

    stack = lab.stack(program)
    stack.set_config("fake:secretKey", automation.ConfigValue(WORD, secret=True))
    stack.set_config("fake:region", automation.ConfigValue("eu-west-1"))
    run = lab.up(program)
    assert lab.fake.configured == [{"region": "eu-west-1", "secretKey": WORD}]
    ciphertexts = lab.checkpoint.read_bytes()
    assert lab.up(program).changed == []
    assert lab.checkpoint.read_bytes() == ciphertexts, "nothing is written when nothing changes"
    lab.refresh()
    stack.set_config("fake:secretKey", automation.ConfigValue(WORD + "-2", secret=True))
    for one in (run, lab.preview(program), lab.up(program)):
        assert WORD not in one.text + repr([event.__dict__ for event in one.events])
    assert lab.fake.configured[-1]["secretKey"] == WORD + "-2"
    lab.destroy()
    for path, content in everything(lab).items():
        assert WORD.encode() not in content, path


def test_error_messages_are_cleaned(lab: Any, thing: Any) -> None:
    lab.fake.fail["create first"] = ProviderError("Bad", f"cannot use {WORD}")
    with pytest.raises(automation.CommandError) as caught:
        lab.up(lambda: thing("first", {"pw": pulumi.Output.secret(WORD)}) and None)
    assert WORD not in str(caught.value)
    assert "cannot use [secret]" in str(caught.value)
    assert all(WORD.encode() not in content for content in everything(lab).values())


def test_additional_secret_outputs(lab: Any, thing: Any) -> None:
    def program() -> None:
        first = thing("first", {"size": 1}, pulumi.ResourceOptions(additional_secret_outputs=["arn"]))
        pulumi.export("arn", first.arn)

    assert lab.up(program).outputs["arn"].secret
    assert "ciphertext" in lab.resources["first"]["outputs"]["arn"]
    assert lab.up(program).changed == []


def test_becoming_secret_rewrites_the_state_without_a_call(lab: Any, thing: Any) -> None:
    lab.up(lambda: thing("first", {"pw": WORD}) and None)
    calls = list(lab.fake.mutations)
    assert lab.up(lambda: thing("first", {"pw": pulumi.Output.secret(WORD)}) and None).changed == []
    assert lab.fake.mutations == calls
    assert WORD not in lab.checkpoint.read_text()


def test_outputs_do_not_open_under_another_passphrase(lab: Any) -> None:
    lab.up(lambda: pulumi.export("hidden", pulumi.Output.secret(WORD)))
    with_other = lab.environment | {"PULUMI_CONFIG_PASSPHRASE": "wrong"}
    with pytest.raises(automation.CommandError, match="incorrect passphrase"):
        lab.command.run(["stack", "output", "--json", "--stack", "dev"], str(lab.work), with_other)
