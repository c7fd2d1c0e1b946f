"""The table of tests that the real CLI does not take names tests that there are."""

from __future__ import annotations

import re
from pathlib import Path

from tests.infra.engine.embedded_alone import EMBEDDED_ALONE

OF_THE_LAB = re.compile(r"^def (test_\w+)\(\s*lab\b", re.MULTILINE)


def test_every_name_is_a_test_of_the_laboratory() -> None:
    files = Path(__file__).parent.glob("test_engine_*.py")
    there = {name for file in files for name in OF_THE_LAB.findall(file.read_text())}
    assert set(EMBEDDED_ALONE) <= there
    assert len(there - set(EMBEDDED_ALONE)) > 40, "most of them run on both"
