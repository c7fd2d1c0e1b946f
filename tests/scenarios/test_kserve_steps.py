"""Releases that take traffic step by step on Kubernetes: weights of the one route, a real Prometheus, a guard in the
cluster, and a client at the gateway throughout.

The release that is bad is really bad, as in test_canary.py, whose shop this is. Bakes and periods pass twelve times as
fast; the silence after which the guard acts does not. One cluster for all rows: each ships a release after the last.
"""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any

import pytest
from kserve_shop import ROUTE, places
from lent_layers import keep, lend
from own_shop import FEATURES, TRANSFORMED, write_model, write_shop
from typed import Poller, Terminal
from waiting import wait_for

from infra.kubernetes.client import KubernetesClient
from infra.rehearsal.cloud.client import LocalCloud
from modelpack.home import Home
from modelpack.server.guarding.record import LEASE, LEASE_KIND, StepsRecord, read_record
from tests.kubernetes_cluster import request_or_skip
from tests.scenarios.test_canary import GUARDED, PACE, PRICED, TROUBLE

pytestmark = [pytest.mark.slow, pytest.mark.network, pytest.mark.kubernetes]

ENDPOINT, ALARM = "aisles-local", "aisles-local-error-rate"
SPEC = """\
version: 1
service: aisles
usecase: ./shop.py:ShopRecs
model: {path: model.onnx}
serve: {target: kserve, environment: {TROUBLE: none}}
rollout:
  strategy: canary
  canary: {steps: [10, 50], bake: 5m}
  silence: 20s
  alarms: {error_rate: 0.02, min_requests: 2}
"""


@dataclass(frozen=True)
class Live:
    """A service with a live release, how a customer asks it, and what the cluster says."""

    terminal: Terminal
    api: KubernetesClient

    def ask(self) -> Any:
        """What no golden request has: prices that end in a cent."""
        connection = HTTPConnection("127.0.0.1", places(self.terminal).ports().gateway, timeout=60)
        try:
            body = json.dumps({"instances": [{"cents": [1201, 333, 7]}]})
            headers = {"Host": f"{ENDPOINT}.default.example.com", "Content-Type": "application/json"}
            connection.request("POST", "/invocations", body, headers)
            answer = connection.getresponse()
            data = answer.read()
        finally:
            connection.close()
        assert answer.status == 200, f"{answer.status}: {data[:200]!r}"
        return json.loads(data)["predictions"]

    def ship(self, trouble: str, expect: int = 0) -> Any:
        self.change(trouble)
        return self.terminal.type("up", "--yes", "--json", expect=expect)

    def change(self, trouble: str) -> None:
        """The next release: another variable of its servers, and nothing else."""
        self.terminal.edit(r"TROUBLE: \w+", f"TROUBLE: {trouble}")

    def kill_in_a_bake(self, trouble: str) -> None:
        self.change(trouble)
        code = self.terminal.killed("up", "--yes", "--json", when=lambda said: ", watched, " in said)
        assert code == -signal.SIGKILL

    def weights(self) -> dict[str, int]:
        route = self.api.get(*ROUTE, ENDPOINT, "default") or {}
        refs = [one for rule in route["spec"]["rules"] for one in rule["backendRefs"]]
        return {one["name"]: one["weight"] for one in refs}

    def record(self) -> StepsRecord:
        found = read_record(self.api.get(LEASE, LEASE_KIND, f"{ENDPOINT}-rollout", "default"))
        assert found is not None
        return found

    def serving(self) -> int:
        """The number of the release that is live and verified."""
        status = self.terminal.type("status", "--json").json
        assert status["verified"] is True
        return int(status["release"])

    def notes(self) -> str:
        return " ".join(self.terminal.type("status", "--json").json["notes"])


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory, shared_layers: Any) -> Iterator[Live]:
    request_or_skip()
    if not shutil.which("prometheus"):
        pytest.skip("no prometheus here (apt-get install prometheus)")
    root = tmp_path_factory.mktemp("steps")
    (root / "work").mkdir()
    terminal = Terminal(root / "work", root / "home")
    lend(shared_layers, terminal.home / "images")
    write_shop(terminal.folder, *GUARDED, text=TRANSFORMED)
    text = FEATURES.replace("\nimport numpy as np\n\n\ndef prepare(inputs):\n", TROUBLE)
    (terminal.folder / "features.py").write_text(text.replace(*PRICED))
    write_model(terminal.folder / "model.onnx")
    (terminal.folder / "ecomdeploy.yaml").write_text(SPEC)
    try:
        assert terminal.type("up", "--yes", "--json").json["verified"] is True
        LocalCloud(Home(terminal.home, terminal.home / "cache")).set_pace(PACE)
        made = Live(terminal, KubernetesClient(places(terminal).kubeconfig))
        assert made.ask()
        yield made
    finally:
        terminal.end()
        keep(terminal.home / "images", shared_layers)


def test_a_good_release_is_promoted_step_by_step(live: Live) -> None:
    before = live.weights()
    with Poller(live.ask) as poller:
        done = live.ship("nothing")
    assert (done.json["release"], done.json["state"], done.json["verified"]) == (2, "live", True)
    for share in (10, 50, 100):
        assert f"{share} % of the traffic on release 2, watched" in done.err
    assert f"{ALARM} quiet" in done.err
    assert poller.errors == []
    assert poller.requests > 50
    assert set(live.weights().values()) == {100}
    assert live.weights() != before
    assert live.record().state == "ended"


def test_errors_in_the_canary_turn_it_back(live: Live) -> None:
    live.terminal.edit(r"steps: \[10, 50\]", "steps: [10]")
    before, serving = live.weights(), live.serving()
    with Poller(live.ask) as poller:
        failed = live.ship("errors", expect=4).json["error"]["what"]
    assert f"alarm {ALARM} rang: Threshold Crossed: 2 out of the last 2 datapoints [" in failed
    assert failed.endswith(f"Release {serving} serves")
    assert poller.errors, "the canary had some of the traffic"
    assert all("500" in one for one in poller.errors), poller.errors[:3]
    assert len(poller.errors) < 0.5 * poller.requests
    assert (live.weights(), live.serving()) == (before, serving)
    told = [one["cause"] for one in live.terminal.type("releases", "--json").json if one["cause"]]
    assert told == [failed]


@pytest.mark.nightly(like="test_errors_in_the_canary_turn_it_back")
def test_a_slow_model_is_turned_back_by_its_p99(live: Live) -> None:
    live.terminal.edit("error_rate: 0.02,", "error_rate: 0.02, p99_ms: 900,")
    before = live.weights()
    with ExitStack() as clients:
        pollers = [clients.enter_context(Poller(live.ask)) for _ in range(8)]
        failed = live.ship("slow", expect=4).json["error"]["what"]
    live.terminal.edit(" p99_ms: 900,", "")
    assert f"alarm {ENDPOINT}-p99 rang: Threshold Crossed" in failed
    assert [one.errors for one in pollers] == [[]] * 8
    assert live.weights() == before


@pytest.mark.nightly(like="tests/scenarios/test_canary.py::test_a_bake_that_nobody_asked_in_is_not_passed")
def test_a_bake_that_nobody_asked_in_is_not_passed(live: Live) -> None:
    before = live.weights()
    failed = live.ship("calm", expect=4).json["error"]["what"]
    assert "with 10 % of the traffic nobody can say that it is good: 0 requests came to it" in failed
    assert live.weights() == before


@pytest.mark.nightly(like="test_a_bad_release_without_its_watcher_is_turned_back")
def test_an_interrupted_rollout_goes_back_and_says_so(live: Live) -> None:
    before, serving = live.weights(), live.serving()
    live.change("quiet")
    with live.terminal.start("up", "--yes", "--json") as process, Poller(live.ask) as poller:
        assert process.stderr is not None
        said = ""
        for line in process.stderr:
            said += line
            if ", watched, " in line:
                process.send_signal(signal.SIGINT)
                break
        said += process.communicate()[1]
    assert process.returncode == 130, said
    assert "interrupted: all traffic is back on" in said
    assert live.weights() == before
    assert live.serving() == serving
    assert poller.errors == []


@pytest.mark.nightly(like="test_a_bad_release_without_its_watcher_is_turned_back")
def test_a_good_release_without_its_watcher_goes_back_and_on_again(live: Live) -> None:
    before = live.weights()
    with Poller(live.ask) as poller:
        live.kill_in_a_bake("fine")
        assert len(live.weights()) == 2
        wait_for(lambda: live.record().restored)
        assert live.weights() == before
        assert live.record().cause == "silence"
        assert "nobody led the rollout any more" in live.notes()
        done = live.terminal.type("up", "--yes", "--json")
    assert (done.json["state"], done.json["verified"]) == ("live", True)
    assert "the guard in the cluster put all traffic back on" in done.err
    assert poller.errors == []
    assert live.weights() != before


def test_a_bad_release_without_its_watcher_is_turned_back(live: Live) -> None:
    before, serving = live.weights(), live.serving()
    with Poller(live.ask) as poller:
        live.kill_in_a_bake("errors2")
        wait_for(lambda: live.record().restored)
        assert live.record().cause == "alarm", live.record()
        assert live.weights() == before
        assert f"alarm {ALARM} rang: Threshold Crossed" in live.notes()
        failed = live.terminal.type("up", "--yes", "--json", expect=4).json["error"]["what"]
    assert f"turned back while nobody looked on: alarm {ALARM} rang" in failed
    assert failed.endswith(f"Release {serving} serves")
    assert all("500" in one for one in poller.errors), poller.errors[:3]
    assert live.weights() == before


@pytest.mark.nightly(
    like="tests/scenarios/test_canary.py::test_each_strategy_moves_as_it_says_and_its_alarms_turn_it_back"
)
@pytest.mark.parametrize(
    ("settings", "shares"),
    [("linear\n  linear: {step: 50, bake: 5m}", (50, 100)), ("blue-green", (100,))],
    ids=["linear", "blue-green"],
)
def test_each_strategy_moves_as_it_says_and_a_guardrail_turns_back_what_is_wrong(
    live: Live, settings: str, shares: tuple[int, ...]
) -> None:
    """A good release first, then one that is fast and healthy, answers every golden request right, and customers with
    prices that nobody would pay."""
    live.terminal.edit(r"strategy: (canary|linear)\n(  linear: [^\n]*\n)?", f"strategy: {settings}\n")
    word = settings.partition("\n")[0].replace("-", "")
    with Poller(live.ask) as poller:
        done = live.ship(f"fine_{word}")
        before, serving = live.weights(), live.serving()
        failed = live.ship(f"wrong_{word}", expect=4).json["error"]["what"]
    assert (done.json["release"], done.json["verified"]) == (serving, True)
    for share in (10, 50, 100):
        told = f"{share} % of the traffic on release {serving}, watched"
        assert (told in done.err) == (share in shares), share
    assert ".price_too_high quiet" in done.err
    revision = next(iter(before)).removesuffix("-predictor")
    assert ".price_too_high rang: Threshold Crossed: 2 out of the last 2 datapoints [" in failed
    assert f"alarm {revision}.price_too_high" not in failed, "it is the new release's"
    assert failed.endswith(f"Release {serving} serves")
    assert poller.errors == []
    assert poller.requests > 50
    assert (live.weights(), live.serving()) == (before, serving)
    if live.record().cause == "alarm":
        assert live.record().name.endswith(".price_too_high")
