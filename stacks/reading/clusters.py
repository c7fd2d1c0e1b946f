"""Rules of `cloud: cluster`: what such an environment must say, what it may not, and how names there are written."""

from __future__ import annotations

import re
from collections.abc import Iterator

from infra.kubernetes.distributions import distributions
from infra.spec import ClusterSpec
from infra.targets.base import Target
from stacks.reading.document import Value

LABEL = r"[a-z0-9]++(-++[a-z0-9]++)*+"
NAMESPACE = re.compile(LABEL)
NAME = re.compile(rf"{LABEL}(\.{LABEL})*+")
GATEWAY = re.compile(rf"{LABEL}/{NAME.pattern}")
REPOSITORY = re.compile(r"[A-Za-z0-9.-]++(:\d{1,5}+)?+(/[a-z0-9]++([._-]++[a-z0-9]++)*+)++")
"""Host and path: https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pulling-manifests"""
PROMETHEUS = re.compile(
    rf"{LABEL}/{NAME.pattern}:\d{{1,5}}+|https?://[A-Za-z0-9.:\[\]-]++(/[A-Za-z0-9._/-]*+)?+"
)
NAMED = "prometheus: NAMESPACE/SERVICE:PORT in its environment"
BAKING = ("blue-green", "canary", "linear", "shadow")
LONGEST_HOST = 253
WORD = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?"
LABEL_KEY = re.compile(rf"({NAME.pattern}/)?+{WORD}")
LABEL_VALUE = re.compile(rf"({WORD})?")
"""https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#syntax-and-character-set"""
NEEDED = {"context": "context: a name of `kubectl config get-contexts`", "registry": "registry: HOST/PREFIX"}
FORMS = (
    (
        "registry",
        REPOSITORY.fullmatch,
        "a registry's host and a path below it, in small letters",
        "ghcr.io/shop/models",
    ),
    ("domain", NAME.fullmatch, "a domain", "models.shop.example"),
    ("gateway", GATEWAY.fullmatch, "a namespace and a name", "gateways/public"),
    ("image_pull_secret", NAME.fullmatch, "the name of a Secret", "registry-login"),
    (
        "prometheus",
        PROMETHEUS.fullmatch,
        "NAMESPACE/SERVICE:PORT, or a URL",
        "monitoring/prometheus-server:80",
    ),
)
ONLY_THERE = (
    "context",
    "kubeconfig",
    "registry",
    "distribution",
    "domain",
    "gateway",
    "image_pull_secret",
    "prometheus",
    "rule_labels",
)
AWS_ONLY = {
    "account": "a cluster has no AWS account",
    "region": "a cluster has no AWS region",
    "secrets": "no key of AWS is asked for there: a passphrase beside the state encrypts what is secret",
}


def clusters(document: Value, environment: str, target: Target | None) -> Iterator[tuple[Value, str, str]]:
    """Every broken rule of one environment."""
    place = document.at("environment")
    if place is None or not isinstance(place.data, dict):
        return
    if cloud_of(place) != "cluster":
        for key in ONLY_THERE:
            if at := place.at(key):
                yield at, f"is for cloud: cluster, and this is cloud: {cloud_of(place)}", "leave it out"
        return
    for key, hint in NEEDED.items():
        if place.at(key) is None:
            yield place, f"a cluster environment needs {key}", hint
    for key, reason in AWS_ONLY.items():
        if at := place.at(key):
            yield at, reason, "leave it out"
    yield from forms(document, place, environment)
    yield from gpus(document, place, target)
    strategy = document.at("rollout", "strategy")
    if strategy and strategy.data in BAKING and place.at("prometheus") is None:
        what = f"{strategy.data} is watched by alarms, and no environment's Prometheus is named to ask"
        yield strategy, what, NAMED
    load = document.at("scale", "target_rps")
    if load and load.data is not None and place.at("prometheus") is None:
        yield load, "requests are counted by Prometheus, and the environment names none to ask", NAMED


def gpus(document: Value, place: Value, target: Target | None) -> Iterator[tuple[Value, str, str]]:
    """An instance's GPU must have a name on that cloud's nodes."""
    at, kind = document.at("serve", "instance"), place.at("distribution")
    told = distributions().get(str(kind.data) if kind else ClusterSpec.distribution)
    found = target.hosts().instances.get(str(at.data)) if target and at else None
    if at and told and found and found.gpu and not told.gpu_values(found.name, found.gpu.name):
        there = ", ".join(sorted(told.gpus))
        yield (
            at,
            f"no node of {told.name} is known to have the GPU of {found.name} ({found.gpu.name})",
            f"known: {there}",
        )


def forms(document: Value, place: Value, environment: str) -> Iterator[tuple[Value, str, str]]:
    for key, fits, what, example in FORMS:
        at = place.at(key)
        if at and isinstance(at.data, str) and not (fits(at.data) and len(at.data) <= LONGEST_HOST):
            yield at, f"expected {what}, got {at.data!r}", f"like {example}"
    labels = place.at("rule_labels")
    for key, one in labels.data.items() if labels and isinstance(labels.data, dict) else ():
        if not (LABEL_KEY.fullmatch(key) and isinstance(one.data, str) and LABEL_VALUE.fullmatch(one.data)):
            yield (
                one,
                f"expected a label of Kubernetes, got {key}: {one.data!r}",
                "like {release: monitoring}",
            )
    state, service, domain = place.at("state"), document.at("service"), place.at("domain")
    if state and isinstance(state.data, str) and "://" in state.data:
        yield (
            state,
            f"expected a folder, got {state.data!r}",
            "a bucket is for cloud: aws; left out: .ecomdeploy",
        )
    if domain and isinstance(domain.data, str) and service and isinstance(service.data, str):
        space = place.at("namespace")
        host = f"{service.data}-{environment}.{space.data if space else 'default'}.{domain.data}"
        if len(host) > LONGEST_HOST:
            yield domain, f"{host} has {len(host)} characters, and a host name at most {LONGEST_HOST}", ""


def cloud_of(place: Value) -> object:
    cloud = place.at("cloud")
    return cloud.data if cloud else None
