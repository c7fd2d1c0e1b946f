"""Options for the whole suite: `--slow` runs what is marked slow (CI and `make test` do), `--nightly` with it the
further cases of a kind of which CI runs one (`make nightly` does)."""

from __future__ import annotations

import gc
import os
import pathlib
import signal
import sys

import platformdirs
import pytest
from hypothesis import HealthCheck, settings
from lent_layers import lend
from told_tests import TestTeller

from modelpack.home import Home
from tests.kubernetes_cluster import cluster, namespace  # noqa: F401 - fixtures

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
# Workers share the cores: a second thread of a kernel mostly spins until the first one gets its turn.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# As the Makefile says it: what a process compiles serves the hundreds that come after it.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
gc.set_threshold(50_000)  # as cli/app.py does
# No test rests on the speed of the machine.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")
# A shell that runs the suite in the background lets it ignore Ctrl-C, and what it starts would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="also run the tests marked slow")
    parser.addoption("--nightly", action="store_true", help="with --slow: also run the tests marked nightly")


def pytest_configure(config: pytest.Config) -> None:
    """Who runs tests tells which, in build/tests; with workers that is not the process that was started."""
    if config.getoption("numprocesses", None) is None:
        name = f"{pathlib.Path(sys.prefix).name.lstrip('.')}-{os.environ.get('PYTEST_XDIST_WORKER', 'alone')}"
        config.pluginmanager.register(TestTeller.into(config.rootpath / "build" / "tests" / f"{name}.log"))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--slow"):
        if not config.getoption("--nightly"):
            leave_to_the_night(config, items)
        longest_first(items)
        return
    skip = pytest.mark.skip(reason="slow: run with --slow (make test does)")
    for item in items:
        if "slow" in item.keywords:
            item.add_marker(skip)


def leave_to_the_night(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What is named by itself (`file::test`) runs all the same."""
    asked = {arg.partition("[")[0] for arg in config.args if "::" in arg}
    left: list[pytest.Item] = []
    kept: list[pytest.Item] = []
    for item in items:
        goes = item.get_closest_marker("nightly") and item.nodeid.partition("[")[0] not in asked
        (left if goes else kept).append(item)
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = kept


def longest_first(items: list[pytest.Item]) -> None:
    """Whole stories, then other files with slow tests, then the rest: workers that take a file at a time (`--dist
    loadfile`) then end at about the same time. Of the stories that share a packed project one comes first and packs
    it; the others come last, when they need not wait for it. Within a file the order stays."""
    slow = {item.path for item in items if "slow" in item.keywords}
    sharing = list(
        dict.fromkeys(item.path for item in items if "packed" in getattr(item, "fixturenames", ()))
    )
    items.sort(
        key=lambda item: (
            item.path not in slow,
            item.path.parent.name != "scenarios",
            item.path in sharing[1:],
            item.path not in sharing,
        )
    )


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees the developer's cloud, nor leaves variables behind for the next."""
    for name in list(os.environ):
        if name.startswith(
            ("AWS_ENDPOINT", "AWS_PROFILE", "AWS_ACCESS", "AWS_SECRET", "PULUMI_", "ECOMDEPLOY_HOME")
        ):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")


@pytest.fixture(scope="session")
def of_all_workers(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A folder of this run that every worker has; of several runs beside each other where the variable names one."""
    if shared := os.environ.get("ECOMDEPLOY_TEST_SHARED"):
        return pathlib.Path(shared)
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture(scope="session")
def shared_layers(of_all_workers: pathlib.Path) -> pathlib.Path:
    """What `lent_layers` lends from, and keeps in."""
    return of_all_workers / "layers"


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory, shared_layers: pathlib.Path) -> Home:
    """A home of one's own whose downloads are shared with everybody's."""
    cache = os.environ.get("ECOMDEPLOY_CACHE") or platformdirs.user_cache_path("ecomdeploy")
    found = Home(tmp_path_factory.mktemp("home"), pathlib.Path(cache))
    lend(shared_layers, found.images)
    return found


@pytest.fixture(scope="session")
def pulumi_binary() -> pathlib.Path:
    """The real CLI, built when first needed. It is never skipped where Go is."""
    from tests.reality.pulumi.build import PULUMI

    if not PULUMI.can_be_had():
        pytest.skip("the real Pulumi CLI is built from Go modules, and there is no go")
    return PULUMI.build()


@pytest.fixture(scope="session")
def repository() -> pathlib.Path:
    """The repository's root."""
    return pathlib.Path(__file__).resolve().parents[1]
