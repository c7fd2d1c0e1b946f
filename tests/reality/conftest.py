"""The real CLI, built when first needed."""

from __future__ import annotations

import pathlib

import pytest

from tests.reality.pulumi.build import build, has_go, place


@pytest.fixture(scope="session")
def pulumi_binary() -> pathlib.Path:
    """The real CLI. It is never skipped where Go is."""
    if not has_go() and not place().exists():
        pytest.skip("the real Pulumi CLI is built from Go modules, and there is no go")
    return build()
