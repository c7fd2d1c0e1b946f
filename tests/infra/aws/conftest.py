"""A local cloud of its own for the provider's tests, and a provider that talks to it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from aws_world import REGION

from infra.rehearsal.cloud.client import LocalCloud
from infra.rehearsal.providers.aws.provider import AwsProvider
from infra.rehearsal.providers.aws.table import TypeTable
from modelpack.home import Home

SPEAKING = f"{Path(__file__).resolve().parents[2] / 'support' / 'speaking.py'}:SpeakingHost"


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    """Its model servers are threads that answer: nothing is unpacked or run."""
    root: Path = tmp_path_factory.mktemp("aws-home")
    cloud = LocalCloud(Home(root, root / "cache"), host=SPEAKING)
    cloud.ensure()
    yield cloud
    cloud.stop()


@pytest.fixture(scope="session")
def table() -> TypeTable:
    return TypeTable()


@pytest.fixture
def cloud(running: LocalCloud) -> LocalCloud:
    """The account, emptied."""
    running.clear_faults()
    running.reset()
    return running


@pytest.fixture
def provider(cloud: LocalCloud, table: TypeTable) -> AwsProvider:
    made = AwsProvider(cloud.environment(), table=table, pause=lambda seconds: time.sleep(min(seconds, 0.05)))
    made.configure({"region": REGION, "allowedAccountIds": ["123456789012"]})
    return made
