"""What the gateway makes of HTTPRoutes, Services and EndpointSlices. Judge: the Gateway API's specification
(https://gateway-api.sigs.k8s.io/reference/spec/), and what Envoy documents of the configuration that it is given."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from fractions import Fraction
from typing import Any

import pytest
from gateway_objects import backend, endpoints, grant, observe, route, service
from hypothesis import given
from hypothesis import strategies as st

from infra.rehearsal.cloud.kubernetes.gateway.build import build_table
from infra.rehearsal.cloud.kubernetes.gateway.envoy import (
    UNRESOLVED,
    cluster_name,
    render_clusters,
    render_endpoints,
    render_routes,
)
from infra.rehearsal.cloud.kubernetes.gateway.hostnames import covers, intersect
from infra.rehearsal.cloud.kubernetes.gateway.observed import Backend, Observed
from infra.rehearsal.cloud.kubernetes.gateway.rules import find_unsupported, seconds
from infra.rehearsal.cloud.kubernetes.gateway.table import RequestMatch

HOST = "shop.example.com"


def chances(observed: Observed) -> dict[str, Fraction]:
    """What each endpoint gets of the requests for HOST, read from what Envoy is given: weighted clusters, and equal
    parts within one. What answers by itself stands by its status."""
    table = build_table(observed)
    hosts = {one["name"]: one for one in render_routes(table)["virtual_hosts"]}
    found = hosts[HOST]["routes"][0]
    if "direct_response" in found:
        return {str(found["direct_response"]["status"]): Fraction(1)}
    clusters = {one["name"]: one for one in render_clusters(table)}
    served = {one["cluster_name"]: one["endpoints"] for one in render_endpoints(table).values()}
    weighted = found["route"]["weighted_clusters"]["clusters"]
    total = sum(one["weight"] for one in weighted)
    parts: Counter[str] = Counter()
    for one in weighted:
        part = Fraction(one["weight"], total)
        if one["name"] == UNRESOLVED:
            parts["500"] += part  # type: ignore[assignment]
            continue
        places = served[clusters[one["name"]]["eds_cluster_config"]["service_name"]]
        addresses = [_address(end) for place in places for end in place["lb_endpoints"]] or ["503"]
        for address in addresses:
            parts[address] += part / len(addresses)  # type: ignore[assignment]
    return dict(parts)  # type: ignore[arg-type]


def _address(endpoint: Any) -> str:
    at = endpoint["endpoint"]["address"]["socket_address"]
    return f"{at['address']}:{at['port_value']}"


releases = st.lists(
    st.tuples(st.integers(0, 1000), st.lists(st.sampled_from([True, False, None]), max_size=5)),
    min_size=1,
    max_size=4,
)


@given(releases)
def test_a_backends_weight_is_shared_by_its_ready_endpoints_and_by_no_other(
    drawn: list[tuple[int, list[bool | None]]],
) -> None:
    objects, expected = [], Counter[str]()
    total = sum(weight for weight, _ in drawn)
    for number, (weight, readiness) in enumerate(drawn):
        found = [(f"10.77.{number}.{place}", ready) for place, ready in enumerate(readiness)]
        objects += [service("ml", f"r{number}"), endpoints("ml", f"r{number}", *found)]
        ready = [f"127{address[2:]}:8080" for address, state in found if state is not False] or ["503"]
        for address in ready if weight else ():
            expected[address] += Fraction(weight, total * len(ready))  # type: ignore[assignment]
    rule = {"backendRefs": [backend(f"r{number}", weight) for number, (weight, _) in enumerate(drawn)]}
    got = chances(observe(*objects, route("ml", "shop", rule)))
    assert got == (dict(expected) if total else {"500": 1})


def test_a_share_without_a_backend_is_answered_by_500() -> None:
    parts = {"backendRefs": [backend("there", 1), backend("missing", 3)]}
    objects = service("ml", "there"), endpoints("ml", "there", ("10.77.0.1", True))
    assert chances(observe(*objects, route("ml", "shop", parts))) == {
        "127.77.0.1:8080": Fraction(1, 4),
        "500": Fraction(3, 4),
    }
    none = {"backendRefs": [backend("missing"), backend("there", 0)]}
    assert chances(observe(*objects, route("ml", "shop", none))) == {"500": 1}
    assert chances(observe(route("ml", "shop", {}))) == {"500": 1}


def test_endpoints_of_many_slices_are_one_and_other_ports_are_not_mixed_in() -> None:
    two = service("ml", "two", 80, 9000)
    slices = [
        endpoints("ml", "two", ("10.77.0.1", True), port=80),
        endpoints("ml", "two", ("10.77.0.1", True), ("10.77.0.2", True), port=80)
        | {"metadata": {"namespace": "ml", "name": "more", "labels": {"kubernetes.io/service-name": "two"}}},
        endpoints("ml", "two", ("10.77.0.3", True), port=9000, at=9001),
    ]
    seen = observe(two, *slices)
    assert seen.ready(Backend("ml", "two", 80)) == (("127.77.0.1", 8080), ("127.77.0.2", 8080))
    assert seen.ready(Backend("ml", "two", 9000)) == (("127.77.0.3", 9001),)
    assert seen.ready(Backend("ml", "two", 81)) == ()


def test_an_address_that_is_no_pods_stays_as_it_is() -> None:
    seen = observe(service("ml", "far"), endpoints("ml", "far", ("192.168.4.10", True), ("110.1.2.3", True)))
    assert [address for address, _ in seen.ready(Backend("ml", "far", 80))] == ["110.1.2.3", "192.168.4.10"]


# ---- names ----


@pytest.mark.parametrize(
    ("pattern", "host", "held"),
    [
        ("*", "a.example.com", True),
        ("*.example.com", "a.example.com", True),
        ("*.example.com", "b.a.example.com", True),
        ("*.example.com", "example.com", False),
        ("*.example.com", "aexample.com", False),
        ("*.example.com", "*.a.example.com", True),
        ("*.a.example.com", "*.example.com", False),
        ("a.example.com", "*.example.com", False),
        ("a.example.com", "a.example.com", True),
        ("*.example.com", "*.example.com", True),
        ("*.example.com", "*", False),
    ],
)
def test_what_a_hostname_covers(pattern: str, host: str, held: bool) -> None:
    assert covers(pattern, host) is held


def test_the_narrower_of_two_hostnames_is_what_they_share() -> None:
    assert intersect("*.example.com", "a.example.com") == "a.example.com"
    assert intersect("a.example.com", "*.example.com") == "a.example.com"
    assert intersect("*.example.com", "*.a.example.com") == "*.a.example.com"
    assert intersect("*", "*") == "*"
    assert intersect("*.example.com", "a.example.org") is None


def test_a_wildcards_rules_come_after_those_of_the_very_name() -> None:
    exact = route("ml", "b", {"backendRefs": [backend("s")], "matches": [{"path": {"value": "/x"}}]})
    wide = route("ml", "a", {"backendRefs": [backend("s")]}, hosts=("*.example.com",))
    everywhere = route("ml", "c", {"backendRefs": [backend("s")]}, hosts=())
    table = build_table(observe(service("ml", "s"), everywhere, wide, exact))
    assert [entry.route[1] for entry in table.hosts[HOST]] == ["b", "a", "c"]
    assert [entry.route[1] for entry in table.hosts["*.example.com"]] == ["a", "c"]
    assert [entry.route[1] for entry in table.hosts["*"]] == ["c"]


def test_a_service_is_asked_by_its_own_name_and_port() -> None:
    seen = observe(
        service("ml", "s", 9000, 80), endpoints("ml", "s", ("10.77.0.1", True)), service("ml", "t", 8081)
    )
    hosts = build_table(seen).hosts
    assert [share.backend for entry in hosts["s.ml.svc.cluster.local"] for share in entry.shares] == [
        Backend("ml", "s", 9000),
        Backend("ml", "s", 80),
    ]
    first, last = hosts["s.ml.svc.cluster.local"]
    assert (first.match.headers[0].value, last.match) == (".*:9000", RequestMatch())
    assert hosts["t.ml.svc.cluster.local"][0].shares[0].backend == Backend("ml", "t", 8081)


def test_services_that_have_no_endpoints_of_their_own_have_no_name_here() -> None:
    outside = service("ml", "out", type="ExternalName", externalName="example.com")
    udp = service("ml", "dns")
    udp["spec"]["ports"][0]["protocol"] = "UDP"
    assert build_table(observe(outside, udp)).hosts == {}


# ---- which rule is tried first ----

A, B = {"name": "a", "value": "1"}, {"name": "b", "value": "1"}
MODELS = {"path": {"type": "PathPrefix", "value": "/v2/models"}}
RANKED: list[dict[str, Any]] = [
    {"path": {"type": "Exact", "value": "/v2/models"}},
    {"path": {"type": "RegularExpression", "value": "/v2/.*"}},
    {**MODELS, "method": "POST"},
    {**MODELS, "headers": [A, B]},
    {**MODELS, "headers": [A], "queryParams": [A]},
    {**MODELS, "headers": [A]},
    {**MODELS, "queryParams": [A]},
    MODELS,
    {"path": {"type": "PathPrefix", "value": "/v2"}, "method": "GET"},
    {"path": {"type": "PathPrefix", "value": "/"}},
]


@given(st.randoms(use_true_random=False))
def test_matches_are_ranked_whatever_the_order_they_are_written_in(chance: random.Random) -> None:
    shuffled = RANKED.copy()
    chance.shuffle(shuffled)
    half = chance.randint(1, len(shuffled) - 1)
    routes = [
        route("ml", name, *({"matches": [one], "backendRefs": [backend("s")]} for one in part))
        for name, part in (("a", shuffled[:half]), ("b", shuffled[half:]))
    ]
    chance.shuffle(routes)
    got = [entry.match for entry in build_table(observe(service("ml", "s"), *routes)).hosts[HOST]]
    alone = [
        build_table(observe(route("ml", "x", {"matches": [one]}))).hosts[HOST][0].match for one in RANKED
    ]
    assert got == alone


def test_equal_matches_are_the_older_routes_then_the_first_names_then_the_first_rules() -> None:
    def made(name: str, created: str) -> Any:
        rules = [{"backendRefs": [backend("s", port=port)]} for port in (1, 2)]
        return route("ml", name, *rules, created=created)

    routes = [
        made("c", "2026-01-01T00:00:00Z"),
        made("a", "2026-01-02T00:00:00Z"),
        made("b", "2026-01-02T00:00:00Z"),
    ]
    for order in itertools.permutations(routes):
        table = build_table(observe(service("ml", "s", 1, 2), *order))
        got = [(entry.route[1], entry.shares[0].backend.port) for entry in table.hosts[HOST]]
        assert got == [("c", 1), ("c", 2), ("a", 1), ("a", 2), ("b", 1), ("b", 2)]


# ---- the rest of a rule ----


@pytest.mark.parametrize(
    ("text", "length"),
    [("10s", 10), ("1m30s", 90), ("500ms", 0.5), ("2h", 7200), ("0s", 0), ("1h1m1s1ms", 3661.001)],
)
def test_durations(text: str, length: float) -> None:
    assert seconds(text) == pytest.approx(length)


def test_timeouts_headers_and_mirrors_reach_the_proxy() -> None:
    changed = {"set": [{"name": "X-A", "value": "50%"}], "remove": ["X-B"]}
    rule = {
        "backendRefs": [backend("s")],
        "timeouts": {"request": "1m30s", "backendRequest": "500ms"},
        "filters": [
            {"type": "RequestHeaderModifier", "requestHeaderModifier": changed},
            {"type": "ResponseHeaderModifier", "responseHeaderModifier": {"add": [A]}},
            {"type": "RequestMirror", "requestMirror": {"backendRef": backend("m"), "percent": 25}},
        ],
    }
    table = build_table(observe(service("ml", "s"), service("ml", "m"), route("ml", "shop", rule)))
    (found,) = next(one["routes"] for one in render_routes(table)["virtual_hosts"] if one["name"] == HOST)
    assert found["route"]["timeout"] == "90.000s"
    assert found["route"]["retry_policy"]["per_try_timeout"] == "0.500s"
    assert found["request_headers_to_add"][0]["header"] == {"key": "X-A", "value": "50%%"}
    assert found["request_headers_to_remove"] == ["X-B"]
    assert found["response_headers_to_add"][0]["append_action"] == "APPEND_IF_EXISTS_OR_ADD"
    (mirror,) = found["route"]["request_mirror_policies"]
    assert mirror["cluster"] == cluster_name(("ml", "shop"), Backend("ml", "m", 80))
    assert mirror["runtime_fraction"]["default_value"] == {"numerator": 250_000, "denominator": "MILLION"}
    assert mirror["cluster"] in {one["name"] for one in render_clusters(table)}


def changing(**change: Any) -> dict[str, Any]:
    return {"type": "RequestHeaderModifier", "requestHeaderModifier": change}


@pytest.mark.parametrize(
    ("rule", "named"),
    [
        ({"filters": [{"type": "RequestRedirect", "requestRedirect": {}}]}, "RequestRedirect"),
        ({"filters": [{"type": "URLRewrite", "urlRewrite": {}}]}, "URLRewrite"),
        ({"filters": [{"type": "ExtensionRef", "extensionRef": {}}]}, "ExtensionRef"),
        ({"backendRefs": [backend("s", filters=[{"type": "RequestMirror"}])]}, "single backendRef"),
        ({"filters": [changing(remove=["hOst"])]}, "Host"),
        ({"filters": [changing(add=[{"name": "Host", "value": "x"}])]}, "Host"),
        ({"filters": [changing(set=[{"name": "a", "value": "x\ny"}])]}, "value of a"),
        ({"retry": {"attempts": 2}}, "retry"),
        ({"sessionPersistence": {}}, "sessionPersistence"),
        ({"matches": [{"path": {"type": "RegularExpression", "value": "/(?=x)"}}]}, "RE2"),
        ({"matches": [{"headers": [{"type": "RegularExpression", "name": "a", "value": "["}]}]}, "RE2"),
    ],
)
def test_what_is_not_done_takes_the_route_off_and_is_told(rule: dict[str, Any], named: str) -> None:
    refused = route("ml", "shop", {"backendRefs": [backend("s")]}, {"backendRefs": [backend("s")], **rule})
    problem = find_unsupported(refused)
    assert problem.reason == "UnsupportedValue"
    assert problem.message.startswith("rules[1]: ")
    assert named in problem.message
    assert HOST not in build_table(observe(service("ml", "s"), refused)).hosts


def test_another_namespaces_service_needs_a_grant_that_names_it() -> None:
    objects = service("data", "s"), endpoints("data", "s", ("10.77.0.1", True))
    there = route("ml", "shop", {"backendRefs": [backend("s", namespace="data")]})
    assert chances(observe(*objects, there)) == {"500": 1}
    assert chances(observe(*objects, there, grant("data", "other"))) == {"500": 1}
    assert chances(observe(*objects, there, grant("ml", "ml"))) == {"500": 1}
    assert chances(observe(*objects, there, grant("data", "ml", "another"))) == {"500": 1}
    assert chances(observe(*objects, there, grant("data", "ml", "s"))) == {"127.77.0.1:8080": 1}
    assert chances(observe(*objects, there, grant("data", "ml"))) == {"127.77.0.1:8080": 1}
