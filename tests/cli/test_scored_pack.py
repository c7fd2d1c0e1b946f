"""Which pack `ecomdeploy score` is told to ask."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.commands.score import choose_pack
from cli.scoring.servers import Packs
from modelpack.errors import BadInput
from modelpack.home import Home
from modelpack.image.oci.layout import Layout
from modelpack.progress import Silent


@pytest.mark.parametrize("image", ["sha256:0ce8", "0ce8", "sha256:" + "0" * 64, "0" * 64])
def test_an_image_that_is_not_here_is_bad_input(image: str, tmp_path: Path) -> None:
    packs = Packs(tmp_path / "scoring", Home(tmp_path, tmp_path))
    with pytest.raises(BadInput, match="no image by the digest sha256:0") as refused:
        choose_pack(packs, "local", tmp_path, None, image, Silent())
    assert "ecomdeploy pack --json" in refused.value.hint


def test_one_that_is_here_is_taken_with_and_without_the_algorithm(tmp_path: Path) -> None:
    home = Home(tmp_path, tmp_path)
    digest = Layout(home.images).put(b"{}")
    for image in (digest, digest.removeprefix("sha256:")):
        packs = Packs(tmp_path / "scoring", home)
        assert choose_pack(packs, "local", tmp_path, None, image, Silent()).digest == digest
