"""A release that waits for somebody else: `up --await-approval` in one process, `approve` in another, real commands."""

from __future__ import annotations

import signal
import subprocess
from typing import Any

import pytest
from typed import Poller, Terminal, asking

pytestmark = [pytest.mark.slow, pytest.mark.network]

ASKED = "for approval of release"
WAIT = ("up", "--yes", "--json", "--await-approval", "--approval-minutes", "60")


def start_waiting(shop: Terminal, number: int) -> subprocess.Popen[str]:
    """An `up` that has asked."""
    process = shop.start(*WAIT)
    assert process.stderr is not None
    said = ""
    for line in process.stderr:
        said += line
        if f"ecomdeploy approve {number} " in line:
            assert f"{ASKED} {number}, which has no traffic" in said
            return process
    raise AssertionError(f"it never asked: {process.wait()}\n{said}")


def live(shop: Terminal) -> Any:
    status = shop.type("status", "--json").json
    return status["release"], status["verified"]


def states(shop: Terminal) -> list[tuple[str, str]]:
    return [(one["state"], one["cause"]) for one in shop.type("releases", "--json").json]


@pytest.mark.nightly(
    like="tests/stacks/test_approval.py::test_an_approved_release_gets_its_traffic_and_the_ledger_says_by_whom"
)
def test_traffic_moves_when_somebody_else_says_yes_and_not_otherwise(shop: Terminal) -> None:
    shop.edit(r"^  instance: .*$", r"\g<0>\n  environment: {STORY: one}")
    first = start_waiting(shop, 1)
    assert shop.client("sagemaker").list_endpoints()["Endpoints"] == [], "its endpoint would be in traffic"
    given = shop.type("approve", "1", "--why", "looked at the report", "--json").json
    assert (given["release"], given["approved"], given["why"]) == (1, True, "looked at the report")
    _, said = first.communicate(timeout=900)
    assert first.returncode == 0, said
    assert "release 1 was approved by" in said
    assert live(shop) == (1, True)
    late = shop.type("approve", "1", "--refuse", "--json", expect=2).json["error"]["what"]
    assert "does not wait for approval: it is live" in late
    with Poller(asking(shop, shop.type("predict", "--json").json)) as poller:
        refuse_the_second(shop)
        kill_the_third_while_it_waits(shop)
    assert poller.errors == []


def refuse_the_second(shop: Terminal) -> None:
    """It is made beside the first, and taken away again."""
    shop.edit("STORY: one", "STORY: two")
    second = start_waiting(shop, 2)
    assert live(shop)[0] == 1
    assert len(shop.client("sagemaker").list_models()["Models"]) == 2, "made, and without traffic"
    assert "is at work here" in shop.type("rollback", "--yes", "--json", expect=3).err
    shop.type("approve", "2", "--refuse", "--why", "too slow")
    out, said = second.communicate(timeout=900)
    assert second.returncode == 6, f"{out}\n{said}"
    assert live(shop) == (1, True)
    assert len(shop.client("sagemaker").list_models()["Models"]) == 1
    (_, (state, cause)) = states(shop)
    assert state == "refused"
    assert cause.startswith("refused by ")
    assert cause.endswith(": too slow")


def kill_the_third_while_it_waits(shop: Terminal) -> None:
    """The question stands, is answered while nobody waits, and the next `up` goes on from there unasked."""
    shop.edit("STORY: two", "STORY: three")
    code = shop.killed(*WAIT, when=lambda told: "ecomdeploy approve 3 " in told)
    assert code == -signal.SIGKILL
    assert shop.type("approve", "3", "--json").json["approved"] is True
    assert live(shop)[0] == 1
    done = shop.type("up", "--yes", "--json")
    assert (done.json["release"], done.json["state"], done.json["verified"]) == (3, "live", True)
    assert "release 3 was approved by" in done.err
    assert [state for state, _ in states(shop)] == ["superseded", "refused", "live"]
