"""The routing table in Envoy's own words: bootstrap, clusters, endpoints, routes (xDS v3 as JSON).

https://www.envoyproxy.io/docs/envoy/latest/api-v3/api
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from infra.rehearsal.cloud.kubernetes.gateway.observed import Backend
from infra.rehearsal.cloud.kubernetes.gateway.table import (
    ANY_HOST,
    BackendShare,
    HeaderChange,
    RequestMatch,
    RouteEntry,
    RoutingTable,
    TextMatch,
    used_backends,
)

Message = dict[str, Any]
TYPES = "type.googleapis.com/envoy"
CLUSTER = f"{TYPES}.config.cluster.v3.Cluster"
ENDPOINTS = f"{TYPES}.config.endpoint.v3.ClusterLoadAssignment"
ROUTES = f"{TYPES}.config.route.v3.RouteConfiguration"
ROUTES_NAME = "table"
METRICS_PATH = "/_gateway/metrics"
OWN_HOST = "127.0.0.1"
"""The name under which the gateway speaks of itself. The API says that no hostname of a route is an address; its schema
lets one through, whose routes then stand after the gateway's own."""
ADMIN, UNRESOLVED = "admin", "unresolved"
UNBOUNDED = 1_000_000
LARGEST_PROGRAM = 1_000_000
TRIED_AGAIN = "connect-failure,refused-stream,reset-before-request,reset"
"""A model's answer has no side effect: what broke off before the answer began may be asked again."""
RETRIES = 3
BUFFERED = 8 * 1024**2
"""Bytes of a request kept so that it can be sent again; a larger one is sent once."""


def render_routes(table: RoutingTable) -> Message:
    """The route configuration; a name that nobody claims gets Envoy's 404."""
    everywhere = table.hosts.get(OWN_HOST) or table.hosts.get(ANY_HOST, ())
    own: Message = {
        "name": OWN_HOST,
        "domains": [OWN_HOST],
        "routes": [
            {
                "match": {"path": METRICS_PATH},
                "route": {"cluster": ADMIN, "prefix_rewrite": "/stats/prometheus"},
            },
            *(_route(entry) for entry in everywhere),
        ],
    }
    hosts = [
        {"name": host, "domains": [host], "routes": [_route(entry) for entry in entries]}
        for host, entries in table.hosts.items()
        if host != OWN_HOST
    ]
    return {
        "@type": ROUTES,
        "name": ROUTES_NAME,
        "ignore_port_in_host_matching": True,
        "virtual_hosts": [own, *hosts],
    }


def render_clusters(table: RoutingTable) -> list[Message]:
    """One for each route and backend, so that what is counted is counted by both; their endpoints are shared."""
    pairs = {
        (entry.route, backend)
        for entries in table.hosts.values()
        for entry in entries
        for backend in used_backends(entry)
    }
    return [_cluster(route, backend, backend in table.h2c) for route, backend in sorted(pairs)]


def render_endpoints(table: RoutingTable) -> dict[str, Message]:
    """By the name of their file."""
    return {
        endpoints_file(backend): {
            "@type": ENDPOINTS,
            "cluster_name": endpoints_name(backend),
            "endpoints": [{"lb_endpoints": [_endpoint(*one) for one in found]}] if found else [],
        }
        for backend, found in table.endpoints.items()
    }


def respond(resources: list[Message]) -> tuple[str, bytes]:
    """A discovery response, and its version: the digest of what it says."""
    text = json.dumps(resources, sort_keys=True)
    version = hashlib.sha256(text.encode()).hexdigest()[:16]
    return version, f'{{"version_info": "{version}", "resources": {text}}}\n'.encode()


def cluster_name(route: tuple[str, str], backend: Backend) -> str:
    """`<route>/<service>/<port>`, each with its namespace. Envoy ends a cluster's name in its statistics at the first
    dot; the names of Kubernetes have no underscore."""
    name = "/".join((*route, backend.namespace, backend.service, str(backend.port)))
    return name.replace(".", "_")


def endpoints_name(backend: Backend) -> str:
    return f"{backend.namespace}/{backend.service}/{backend.port}"


def endpoints_file(backend: Backend) -> str:
    return f"endpoints.{backend.namespace}.{backend.service}.{backend.port}.json"


# ---- parts ----


def _endpoint(address: str, port: int) -> Message:
    socket = {"address": address, "port_value": port}
    return {"endpoint": {"address": {"socket_address": socket}}}


def _cluster(route: tuple[str, str], backend: Backend, h2c: bool) -> Message:
    options = f"{TYPES}.extensions.upstreams.http.v3.HttpProtocolOptions"
    spoken: Message = {"http2_protocol_options": {}} if h2c else {"http_protocol_options": {}}
    return {
        "@type": CLUSTER,
        "name": cluster_name(route, backend),
        "type": "EDS",
        "eds_cluster_config": {
            "service_name": endpoints_name(backend),
            "eds_config": _file(endpoints_file(backend)),
        },
        "connect_timeout": "2s",
        "lb_policy": "ROUND_ROBIN",
        "common_lb_config": {"healthy_panic_threshold": {"value": 0}},
        "circuit_breakers": _no_limits(),
        "typed_extension_protocol_options": {
            options.removeprefix("type.googleapis.com/"): {
                "@type": options,
                "explicit_http_config": spoken,
            }
        },
    }


def _no_limits() -> Message:
    """How much a model can take is its server's to say, by its own refusal."""
    limits = ("max_connections", "max_pending_requests", "max_requests", "max_retries")
    return {"thresholds": [dict.fromkeys(limits, UNBOUNDED)]}


def _route(entry: RouteEntry) -> Message:
    shown: Message = {"match": render_match(entry.match)}
    shown |= _changes("request", entry.request_headers) | _changes("response", entry.response_headers)
    shares = [share for share in entry.shares if share.weight]
    if not any(share.backend for share in shares):
        return shown | {
            "direct_response": {"status": 500, "body": {"inline_string": "no backend resolves\n"}}
        }
    action: Message = {
        "weighted_clusters": {"clusters": [_cluster_weight(entry, share) for share in shares]},
        "timeout": f"{entry.request:.3f}s",
        "retry_policy": {
            "retry_on": TRIED_AGAIN,
            "num_retries": RETRIES,
            "retry_host_predicate": [
                {
                    "name": "envoy.retry_host_predicates.previous_hosts",
                    "typed_config": {
                        "@type": f"{TYPES}.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"
                    },
                }
            ],
            "host_selection_retry_max_attempts": 3,
        },
        "request_mirror_policies": [
            {
                "cluster": cluster_name(entry.route, mirror.backend),
                "runtime_fraction": {
                    "default_value": {"numerator": mirror.millionths, "denominator": "MILLION"}
                },
                "disable_shadow_host_suffix_append": True,
            }
            for mirror in entry.mirrors
        ],
    }
    if entry.attempt:
        action["retry_policy"]["per_try_timeout"] = f"{entry.attempt:.3f}s"
    return shown | {"route": action}


def _cluster_weight(entry: RouteEntry, share: BackendShare) -> Message:
    name = cluster_name(entry.route, share.backend) if share.backend else UNRESOLVED
    return {"name": name, "weight": share.weight}


def render_match(match: RequestMatch) -> Message:
    """Envoy's RouteMatch."""
    if match.kind == "exact":
        path: Message = {"path": match.path}
    elif match.kind == "expression":
        path = {"safe_regex": {"regex": match.path}}
    else:
        path = {"path_separated_prefix": match.path} if match.path else {"prefix": "/"}
    headers = [_text(one) for one in match.headers]
    headers += [_text(TextMatch(":method", match.method))] if match.method else []
    return path | {"headers": headers, "query_parameters": [_text(one) for one in match.parameters]}


def _text(match: TextMatch) -> Message:
    value: Message = {"safe_regex": {"regex": match.value}} if match.expression else {"exact": match.value}
    return {"name": match.name, "string_match": value}


def _changes(whose: str, change: HeaderChange) -> Message:
    added = [_header(*one, "OVERWRITE_IF_EXISTS_OR_ADD") for one in change.replaced]
    added += [_header(*one, "APPEND_IF_EXISTS_OR_ADD") for one in change.added]
    found: Message = {f"{whose}_headers_to_add": added, f"{whose}_headers_to_remove": list(change.removed)}
    return {name: value for name, value in found.items() if value}


def _header(name: str, value: str, action: str) -> Message:
    # a percent sign begins one of Envoy's own variables
    return {"header": {"key": name, "value": value.replace("%", "%%")}, "append_action": action}


def _file(name: str) -> Message:
    return {"resource_api_version": "V3", "path_config_source": {"path": f"./{name}"}}


# ---- bootstrap ----


def render_bootstrap(port: int) -> Message:
    """Envoy on 127.0.0.1:`port`, run in the folder that holds the other files."""
    return {
        "node": {"id": "ecomdeploy-gateway", "cluster": "ecomdeploy"},
        "admin": {"address": {"pipe": {"path": f"{ADMIN}.sock", "mode": 0o600}}},
        "dynamic_resources": {"cds_config": _file("clusters.json")},
        # an expression of the API's 1,024 characters may be larger than the 100 that Envoy takes by itself
        "layered_runtime": {
            "layers": [{"name": "own", "static_layer": {"re2.max_program_size.error_level": LARGEST_PROGRAM}}]
        },
        "stats_config": _statistics(),
        "static_resources": {
            "listeners": [
                _listener("gateway", {"socket_address": {"address": OWN_HOST, "port_value": port}}, _rds()),
                _listener(UNRESOLVED, {"pipe": {"path": f"{UNRESOLVED}.sock", "mode": 0o600}}, _refusing()),
            ],
            "clusters": [_inside(ADMIN), _inside(UNRESOLVED)],
        },
    }


def _inside(name: str) -> Message:
    at = {"endpoint": {"address": {"pipe": {"path": f"{name}.sock"}}}}
    return {
        "name": name,
        "type": "STATIC",
        "circuit_breakers": _no_limits(),
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [at]}]},
    }


def _rds() -> Message:
    return {"rds": {"route_config_name": ROUTES_NAME, "config_source": _file("routes.json")}}


def _refusing() -> Message:
    answer = {"status": 500, "body": {"inline_string": "the backend does not resolve\n"}}
    host = {
        "name": "all",
        "domains": ["*"],
        "routes": [{"match": {"prefix": "/"}, "direct_response": answer}],
    }
    return {"route_config": {"name": UNRESOLVED, "virtual_hosts": [host]}}


def _listener(name: str, address: Message, routes: Mapping[str, Any]) -> Message:
    manager = f"{TYPES}.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
    router = f"{TYPES}.extensions.filters.http.router.v3.Router"
    return {
        "name": name,
        "address": address,
        # two processes on one port would each get half of the connections
        "enable_reuse_port": False,
        "per_connection_buffer_limit_bytes": BUFFERED,
        "filter_chains": [
            {
                "filters": [
                    {
                        "name": "http",
                        "typed_config": {
                            "@type": manager,
                            "stat_prefix": name,
                            "use_remote_address": True,
                            "http_filters": [
                                {
                                    "name": "router",
                                    "typed_config": {"@type": router, "suppress_envoy_headers": True},
                                }
                            ],
                            **routes,
                        },
                    }
                ]
            }
        ],
    }


def _statistics() -> Message:
    kept = (
        r"cluster\.[^.]*/.*\.upstream_rq(_\d.*|_active|_total|_retry|_time|_pending_active)?",
        r"cluster\.[^.]*/.*\.upstream_rq_(\d+|\dxx)",
        r"cluster\.[^.]*/.*\.membership_(healthy|total)",
        r"http\.gateway\.(downstream_rq_.*|no_route|rds\..*)",
        r"cluster_manager\..*",
        r"listener_manager\..*",
    )
    part = r"^cluster\.()"
    return {
        "stats_matcher": {"inclusion_list": {"patterns": [{"safe_regex": {"regex": one}} for one in kept]}},
        "stats_tags": [
            {"tag_name": "route", "regex": part + r"([^/.]*/[^/.]*)/[^/.]*/[^/.]*/\d+\."},
            {"tag_name": "backend", "regex": part + r"[^/.]*/[^/.]*/([^/.]*/[^/.]*)/\d+\."},
        ],
    }
