"""`ecomdeploy init --target`: the project that is written is one that the target takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli import catalogs
from cli.commands.init import PLACES, init
from cli.wiring import SPEC, load_spec
from infra.targets.catalog import targets
from modelpack.errors import BadInput


def test_every_target_can_be_begun_with() -> None:
    assert sorted(PLACES) == sorted(targets().names())


@pytest.mark.parametrize("target", sorted(PLACES))
def test_what_is_written_is_taken(target: str, tmp_path: Path) -> None:
    init("recommendation", tmp_path, target, as_json=True)
    text = (tmp_path / SPEC).read_text()
    assert "@" not in text
    spec = load_spec(tmp_path, "local")
    assert spec.serve.target == target
    assert spec.serve.instance in targets().get(target).hosts().instances
    assert (spec.scale.target_rps == catalogs.default_rate("recommendation")) is (target == "sagemaker")


def test_another_target_is_none(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="--target kserv is none of sagemaker, kserve"):
        init("recommendation", tmp_path, "kserv")
    assert list(tmp_path.iterdir()) == []
