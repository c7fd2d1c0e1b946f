"""Secrets of `serve.environment`: how they are written, what stands in their place, when they are refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cli.catalogs import known_names
from infra.components.role import reading_policy
from infra.secrets import LONGEST, own_parameters
from infra.spec import SecretName, SecretPlace, ServeSpec
from infra.targets.sagemaker.target import SageMaker
from modelpack.errors import BadInput
from stacks import ship
from stacks.reading.load import load
from stacks.secrets import read_secrets
from stacks.spec import Spec
from stacks.wanted import Wanted

FILE = """\
version: 1
service: shop
usecase: fraud
serve:
  environment:
    PLAIN: "1"
    {secret}
"""


def read(folder: Path, secret: str) -> Spec:
    (folder / "ecomdeploy.yaml").write_text(FILE.format(secret=secret))
    return load(folder / "ecomdeploy.yaml", "local", known_names())


@pytest.mark.parametrize(
    ("secret", "place"),
    [
        ("KEY: {secret: {env: SHOP_KEY}}", SecretPlace(env="SHOP_KEY")),
        ("KEY: {secret: {ssm: /shop/key}}", SecretPlace(ssm="/shop/key")),
        ("KEY: {secret: {secretsmanager: shop/key}}", SecretPlace(secretsmanager="shop/key")),
    ],
)
def test_a_secret_says_where_it_is(tmp_path: Path, secret: str, place: SecretPlace) -> None:
    assert read(tmp_path, secret).serve.environment == {"PLAIN": "1", "KEY": SecretName(secret=place)}


@pytest.mark.parametrize(
    ("secret", "words"),
    [
        ("KEY: {secret: {}}", "one place"),
        ("KEY: {secret: {env: A, ssm: /b}}", "one place"),
        ("KEY: {secret: {env: 3}}", "text"),
        ("KEY: {secret: {vault: x}}", "vault"),
        ("ECOMDEPLOY_LIMIT_ROWS: {secret: {env: A}}", "before the server looks secrets up"),
        ("KEY: {secrets: {env: A}}", "secrets"),
        ("KEY: {secret: A}", "keys and values"),
        ("KEY: {secret: {env: 'a b'}}", "expected a name"),
        ("KEY: {secret: {ssm: '/a\\nb'}}", "expected a name"),
        ("KEY: [1]", "KEY"),
        ("ECOMDEPLOY_SECRET_KEY: x", "no name for a variable"),
        ("'A=B': x", "no name for a variable"),
    ],
)
def test_what_is_wrong_with_it_is_told(tmp_path: Path, secret: str, words: str) -> None:
    with pytest.raises(BadInput, match=words) as caught:
        read(tmp_path, secret)
    assert "serve.environment" in str(caught.value)


def with_secret(spec: Spec, variable: str = "SHOP_KEY") -> Spec:
    place = SecretPlace(env=variable)
    return replace(spec, serve=ServeSpec(environment={"KEY": SecretName(secret=place), "PLAIN": "1"}))


PLANTED = "planted-0123456789abcdef"


def test_a_reference_stands_where_the_value_would(spec_of: Callable[..., Spec]) -> None:
    made = Wanted.of(with_secret(spec_of()), SageMaker().hosts(), {"SHOP_KEY": PLANTED})
    (name,) = own_parameters(made.serving.environment)
    assert made.serving.environment == {"PLAIN": "1", "ECOMDEPLOY_SECRET_KEY": f"ssm:{name}"}
    assert name.startswith("/ecomdeploy/shop-local/KEY/")
    assert made.confidential.values == {name: PLANTED}
    assert PLANTED not in repr(made)


def test_the_same_value_is_the_same_release_and_another_is_another(spec_of: Callable[..., Spec]) -> None:
    names = [
        own_parameters(read_secrets(with_secret(spec_of()), {"SHOP_KEY": value}).environment)
        for value in ("a", "a", "b")
    ]
    assert names[0] == names[1] != names[2]


@pytest.mark.parametrize(
    ("value", "words"),
    [(None, "not set"), ("", "not set, or empty"), ("x" * (LONGEST + 1), "more than"), ("a\x00b", "no text")],
)
def test_a_variable_that_holds_none_is_refused_before_anything_is_done(
    world: Any, spec_of: Callable[..., Spec], value: str | None, words: str
) -> None:
    world.variables = {} if value is None else {"SHOP_KEY": value}
    with pytest.raises(BadInput, match=words) as caught:
        ship.up(world.process("one"), with_secret(spec_of()))
    assert "serve.environment.KEY" in str(caught.value)
    assert value is None or len(value) < 2 or value not in str(caught.value)
    assert not world.mutations


def test_a_lost_secret_stops_a_rollback_in_words(world: Any, spec_of: Callable[..., Spec]) -> None:
    world.variables = {"SHOP_KEY": "then"}
    ship.up(world.process("one"), with_secret(spec_of()))
    world.variables = {"SHOP_KEY": "now"}
    ship.up(world.process("two"), with_secret(spec_of()))
    world.revisions.clear()
    (name,) = own_parameters(read_secrets(with_secret(spec_of()), {"SHOP_KEY": "then"}).environment)
    world.lost = {name}
    with pytest.raises(BadInput, match="a secret that it was served with is gone"):
        ship.rollback(world.process("two"), with_secret(spec_of()), 1)


def test_the_role_may_read_what_is_referred_to_and_no_more() -> None:
    environments = [
        {"ECOMDEPLOY_SECRET_A": "ssm:/shop/a", "PLAIN": "ssm:/not-this"},
        {"ECOMDEPLOY_SECRET_B": "secretsmanager:shop/b", "ECOMDEPLOY_SECRET_A": "ssm:/shop/a"},
    ]
    policy = reading_policy(environments, "eu-west-1", "1" * 12, "aws")
    assert "*" not in policy
    assert f"arn:aws:ssm:eu-west-1:{'1' * 12}:parameter/shop/a" in policy
    assert f"arn:aws:secretsmanager:eu-west-1:{'1' * 12}:secret:shop/b-??????" in policy
    assert "not-this" not in policy
    assert reading_policy([{"PLAIN": "x"}], "eu-west-1", "1" * 12, "aws") == ""
