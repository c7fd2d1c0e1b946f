"""`python -m benchmarks.drivers_program PROJECT up|refresh|preview|destroy`: one operation on a base stack."""

from __future__ import annotations

import sys
from pathlib import Path

from cli.wiring import load_spec, wire_account
from modelpack.progress import Silent
from stacks.pulumi_driver.driver import Stack
from stacks.settings import base_settings
from stacks.wanted import Wanted

SPEC = "version: 1\nservice: shop\nusecase: recommendation\nenvironments: {local: {cloud: local}}\n"


def main(folder: Path, verb: str) -> None:
    (folder / "ecomdeploy.yaml").write_text(SPEC)
    wiring = wire_account(folder, load_spec(folder, "local"), Silent())
    wanted = Wanted.of(wiring.spec, wiring.target.hosts())
    driver, stack, settings = wiring.driver(), Stack("base", "shop-local"), base_settings(wanted, {})
    if verb == "preview":
        driver.preview(stack, settings)
    elif verb == "destroy":
        driver.destroy(stack, Silent())
    else:
        driver.up(stack, settings, Silent(), refresh=verb == "refresh")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
