"""The gateway's Envoy, really run, with servers that stand where pods' processes do. Judge: what the Gateway API's
specification has a gateway answer (https://gateway-api.sigs.k8s.io/reference/spec/)."""

from __future__ import annotations

import http.client
import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import gateway_pods
import pytest
from gateway_pods import Pod, calling, pods
from ports import free_port
from waiting import wait_for

from infra.rehearsal.cloud.kubernetes.gateway.envoy import BUFFERED, METRICS_PATH
from infra.rehearsal.cloud.kubernetes.gateway.observed import Backend
from infra.rehearsal.cloud.kubernetes.gateway.proxy import EnvoyProxy, NotTaken
from infra.rehearsal.cloud.kubernetes.gateway.table import (
    BackendShare,
    HeaderChange,
    MirrorShare,
    RequestMatch,
    RouteEntry,
    RoutingTable,
    TextMatch,
)

HOST = "shop.example.com"
ROUNDS = 40
ROUTE = ("ml", "shop")
OLD, NEW, DARK = (Backend("ml", name, 80) for name in ("old", "new", "dark"))


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[EnvoyProxy]:
    started = EnvoyProxy(tmp_path / "gateway", free_port())
    started.start()
    try:
        yield started
    finally:
        started.stop()


def entry(*shares: tuple[Backend | None, int], **more: Any) -> RouteEntry:
    return RouteEntry(route=ROUTE, shares=tuple(BackendShare(*one) for one in shares), **more)


def table(*entries: RouteEntry, **places: list[Pod]) -> RoutingTable:
    """Entries of HOST, and the pods of each backend by its Service's name."""
    endpoints = {Backend("ml", name, 80): tuple(pod.place for pod in found) for name, found in places.items()}
    return RoutingTable(hosts={HOST: entries}, endpoints=endpoints)


def ask(
    proxy: EnvoyProxy, path: str = "/", method: str = "GET", host: str = HOST, **headers: str
) -> tuple[int, Any]:
    return gateway_pods.ask(proxy.port, host, path, method, **headers)


def test_what_is_answered_without_a_backend(proxy: EnvoyProxy) -> None:
    with pods(1) as found:
        only = RequestMatch(path="/v2")
        proxy.serve(
            table(
                entry((OLD, 1), match=only),
                entry((NEW, 1), match=RequestMatch(path="/empty")),
                entry((None, 1), match=RequestMatch(path="/lost")),
                entry((DARK, 0), match=RequestMatch(path="/zero")),
                old=found,
                new=[],
            )
        )
        assert ask(proxy, "/v2/models")[0] == 200
        assert ask(proxy, "/v2/models", host=f"{HOST}:8080")[0] == 200
        assert ask(proxy, "/other")[0] == 404
        assert ask(proxy, "/v2/models", host="other.example.com")[0] == 404
        assert ask(proxy, "/empty")[0] == 503
        assert ask(proxy, "/lost")[0] == 500
        assert ask(proxy, "/zero")[0] == 500


PREFIX = RequestMatch(path="/foo")
HEADED = RequestMatch(headers=(TextMatch("X-Tier", "gold"), TextMatch("x-kind", "a+", expression=True)))


@pytest.mark.parametrize(
    ("match", "yes", "no"),
    [
        (PREFIX, ["/foo", "/foo/", "/foo/bar", "/foo?x=1"], ["/foobar", "/fo", "/"]),
        (RequestMatch(), ["/", "/anything"], []),
        (RequestMatch("exact", "/foo"), ["/foo", "/foo?x=1"], ["/foo/", "/foo/bar", "/Foo"]),
        (
            RequestMatch("expression", "/v[0-9]+/.*"),
            ["/v2/models", "/v2/x?q=1"],
            ["/v/models", "/a/v2/models"],
        ),
        (RequestMatch(parameters=(TextMatch("q", "1"),)), ["/?q=1", "/?a=2&q=1"], ["/", "/?q=2"]),
    ],
)
def test_paths_and_parameters(proxy: EnvoyProxy, match: RequestMatch, yes: list[str], no: list[str]) -> None:
    with pods(1) as found:
        proxy.serve(table(entry((OLD, 1), match=match), old=found))
        assert {path: ask(proxy, path)[0] for path in yes} == dict.fromkeys(yes, 200)
        assert {path: ask(proxy, path)[0] for path in no} == dict.fromkeys(no, 404)


def test_headers_and_methods(proxy: EnvoyProxy) -> None:
    with pods(1) as found:
        posted = RequestMatch(path="/post", method="POST")
        proxy.serve(table(entry((OLD, 1), match=posted), entry((OLD, 1), match=HEADED), old=found))
        assert ask(proxy, **{"x-tier": "gold", "X-Kind": "aaa"})[0] == 200
        assert ask(proxy, **{"x-tier": "gold"})[0] == 404
        assert ask(proxy, **{"x-tier": "golden", "x-kind": "a"})[0] == 404
        assert ask(proxy, **{"x-tier": "gold", "x-kind": "ab"})[0] == 404
        assert ask(proxy, "/post", "POST", **{"Content-Length": "0"})[0] == 200
        assert ask(proxy, "/post")[0] == 404


def test_headers_are_changed_and_copies_sent(proxy: EnvoyProxy) -> None:
    with pods(2) as (serving, shadow):
        proxy.serve(
            table(
                entry(
                    (OLD, 1),
                    request_headers=HeaderChange((("x-set", "100%"),), (("x-add", "b"),), ("x-gone",)),
                    response_headers=HeaderChange(added=(("x-back", "%REQ(host)%"),)),
                    mirrors=(MirrorShare(DARK, 1_000_000),),
                ),
                old=[serving],
                dark=[shadow],
            )
        )
        status, said = ask(proxy, "/copied", **{"x-set": "1", "x-add": "a", "x-gone": "1"})
        assert status == 200
        assert said["pod"] == serving.address
        assert said["got"]["x-back"] == "%REQ(host)%"
        headers = said["headers"]
        assert headers["host"] == HOST
        assert (headers["x-set"], "x-gone" in headers) == ("100%", False)
        wait_for(lambda: shadow.asked == ["/copied"])


def test_a_timeout_is_answered_by_504(proxy: EnvoyProxy) -> None:
    with pods(1) as found:
        proxy.serve(table(entry((OLD, 1), request=0.2), old=found))
        assert ask(proxy, "/wait")[0] == 504


def test_an_answer_streams_through(proxy: EnvoyProxy) -> None:
    """The first event is here while the server waits with the second."""
    with pods(1) as (pod,):
        proxy.serve(table(entry((OLD, 1)), old=[pod]))
        connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=120)
        connection.request("GET", "/stream", headers={"Host": HOST})
        answer = connection.getresponse()
        assert answer.read1() == b"data: one\n\n"
        pod.go_on.set()
        assert answer.read() == b"data: two\n\n"
        connection.close()


def test_what_is_under_way_outlives_the_route_that_it_came_by(proxy: EnvoyProxy) -> None:
    with pods(2) as (old, new):
        proxy.serve(table(entry((OLD, 1)), old=[old]))
        got: list[tuple[int, Any]] = []
        asking = threading.Thread(target=lambda: got.append(ask(proxy, "/wait")))
        asking.start()
        wait_for(lambda: old.asked == ["/wait"])
        proxy.serve(table(entry((NEW, 1)), new=[new]))
        assert ask(proxy)[1]["pod"] == new.address
        old.go_on.set()
        asking.join(120)
        assert [(status, said["pod"]) for status, said in got] == [(200, old.address)]


def test_a_refused_connection_is_tried_at_another_endpoint(proxy: EnvoyProxy) -> None:
    with pods(2) as (here, gone):
        gone.close()
        proxy.serve(table(entry((OLD, 1)), old=[here, gone]))
        assert {ask(proxy, method="POST", **{"Content-Length": "0"})[0] for _ in range(20)} == {200}


def test_a_request_larger_than_what_is_kept_of_it_goes_through(proxy: EnvoyProxy) -> None:
    with pods(1) as found:
        proxy.serve(table(entry((OLD, 1)), old=found))
        connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=120)
        connection.request("POST", "/large", body=bytes(3 * BUFFERED), headers={"Host": HOST})
        assert connection.getresponse().status == 200
        connection.close()


def test_shares_are_what_the_weights_say(proxy: EnvoyProxy) -> None:
    """2,000 requests of 9 to 1, over two ready endpoints and one: within six standard deviations (13.4) of 200."""
    with pods(4) as (one, two, new, dark):
        shares = (OLD, 90), (NEW, 10), (DARK, 0)
        proxy.serve(table(entry(*shares), old=[one, two], new=[new], dark=[dark]))
        with calling(proxy.port, HOST, callers=1, each=2000) as counted:
            """Nothing changes meanwhile."""
        assert counted == {"200": 2000}
        assert abs(len(new.asked) - 200) < 6 * 13.4
        assert abs(len(one.asked) - len(two.asked)) <= 1
        assert dark.asked == []


def test_no_request_is_lost_while_weights_change_and_pods_come_and_go(proxy: EnvoyProxy) -> None:
    """2,000 requests or more over four kept connections. A pod leaves the table before it ends, as one that is
    deleted leaves the ready endpoints before its process does."""
    old, new = Pod("127.77.1.1"), Pod("127.77.1.2")
    with pods(3) as (dark, *standing):
        shares = [(OLD, 100), (NEW, 0), (DARK, 0)]
        now = table(entry(*shares), old=[standing[0], old], new=[standing[1], new], dark=[dark])
        proxy.serve(now)
        with calling(proxy.port, HOST) as counted:
            for number in range(ROUNDS):
                weight = number * 10 % 101
                moved = table(entry((OLD, 100 - weight), (NEW, weight), (DARK, 0)))
                if number % 2:
                    gone, new = new, Pod(f"127.77.2.{number + 1}")
                else:
                    gone, old = old, Pod(f"127.77.2.{number + 1}")
                places = {"old": [standing[0], old], "new": [standing[1], new], "dark": [dark]}
                proxy.serve(replace(moved, endpoints=table(**places).endpoints))
                gone.close()
        old.close()
        new.close()
        assert set(counted) == {"200"}
        assert counted.total() >= 2000
        assert dark.asked == []


def test_killed_and_started_again_it_serves_what_it_served(proxy: EnvoyProxy) -> None:
    with pods(1) as found:
        proxy.serve(table(entry((OLD, 1)), old=found))
        os.kill(proxy.pid, signal.SIGKILL)
        wait_for(lambda: proxy.exit_status() is not None)
        proxy.start()
        wait_for(lambda: proxy.statistics("^cluster_manager.cds.version_text$"))
        wait_for(lambda: ask(proxy)[0] == 200)
        proxy.serve(table(entry((NEW, 1)), new=found))
        assert ask(proxy)[0] == 200


def test_what_envoy_refuses_leaves_what_it_had(proxy: EnvoyProxy) -> None:
    with pods(1) as found:
        good = table(entry((OLD, 1)), old=found)
        proxy.serve(good)
        bad = RequestMatch("expression", "(")
        with pytest.raises(NotTaken, match=r"routes\.json"):
            proxy.serve(table(entry((OLD, 1), match=bad), old=found))
        assert ask(proxy)[0] == 200
        proxy.serve(good)
        assert ask(proxy)[0] == 200


LARGE = "/" + "(a|bc|def|[0-9]{2,9}x)" * 40


@pytest.mark.parametrize(
    ("host", "odd"),
    [
        ("127.0.0.1", {}),
        (HOST, {"match": RequestMatch("expression", LARGE)}),
        (HOST, {"request": 99999 * 3600.0, "attempt": 99999 * 3600.0}),
        (HOST, {"request": 0.001}),
        (HOST, {"request_headers": HeaderChange((("X-A", "ümlaut %s %"),))}),
        (HOST, {"match": RequestMatch("exact", "/a!$&'()*+,;=:@~%2C")}),
        (HOST, {"match": RequestMatch("prefix", "/a!$&'()*+,;=:@~%2C")}),
        (HOST, {"match": RequestMatch(headers=(TextMatch("x!#$%&'*+-.^_`|~", "\t"),))}),
    ],
)
def test_what_the_schema_lets_through_does_not_stop_envoy(
    proxy: EnvoyProxy, host: str, odd: dict[str, Any]
) -> None:
    proxy.serve(RoutingTable(hosts={host: (entry((OLD, 1), **odd),)}, endpoints={OLD: ()}))
    assert ask(proxy, METRICS_PATH, host="127.0.0.1")[0] == 200


def test_what_it_sees_is_told_by_route_and_backend(proxy: EnvoyProxy) -> None:
    with pods(1) as found:
        proxy.serve(table(entry((OLD, 1)), old=found))
        ask(proxy)
        labels = 'route="ml/shop",backend="ml/old"'

        def metrics() -> list[str]:
            return [
                line
                for line in ask(proxy, METRICS_PATH, host=f"127.0.0.1:{proxy.port}")[1].decode().splitlines()
                if labels in line
            ]

        counted = 'envoy_cluster_upstream_rq{envoy_response_code="200",'
        wait_for(lambda: [line[-2:] for line in metrics() if line.startswith(counted)] == [" 1"])
        timed = [line for line in metrics() if line.startswith("envoy_cluster_upstream_rq_time_bucket")]
        assert 'le="+Inf"' in timed[-1]
        assert ask(proxy, METRICS_PATH)[1]["path"] == METRICS_PATH
        for path in ("/", "/quitquitquit", f"{METRICS_PATH}/x"):
            assert ask(proxy, path, host="127.0.0.1")[0] == 404
