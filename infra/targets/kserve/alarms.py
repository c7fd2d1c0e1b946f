"""A service's alarms on a cluster, and whom its guard acts as: plain data, from what is declared.

The alarms are a ConfigMap: as the rollout and its guard read them, and as a file of Prometheus's own rules, for whoever
wants Alertmanager to tell of them outside of rollouts, too. Where the cluster has the Prometheus Operator's
PrometheusRule, they are one (https://prometheus-operator.dev/docs/api-reference/api/#monitoring.coreos.com/v1.PrometheusRule).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from infra.spec import ALARM_PERIOD, AlarmSpec
from infra.targets.base import Declared, Service
from infra.targets.kserve.manifests import labels
from infra.targets.kserve.names import DIGITS, PREDICTOR, revision_name
from modelpack.errors import BadInput
from modelpack.server.guarding.alarms import AlarmRule, alarm_of, rules_file, write_rules
from modelpack.server.guarding.record import lease_name

Object = dict[str, Any]
RULES, RULES_FILE = "alarms.json", "rules.yaml"
RULE, RULE_KIND = "monitoring.coreos.com/v1", "PrometheusRule"
SUFFIXES = ("error-rate", "p99", "model-errors")
"""What follows the endpoint in an alarm's name; the same as in CloudWatch."""


def alarm_rules(endpoint: str, namespace: str, alarms: AlarmSpec) -> tuple[AlarmRule, ...]:
    """The alarms that a spec asks for."""
    limits = (alarms.error_rate, alarms.p99_ms, alarms.model_error_rate)
    measures = ("errors", "p99", "refusals")
    return tuple(
        AlarmRule(
            name=f"{endpoint}-{suffix}",
            measures=measure,
            threshold=limit,
            min_requests=alarms.min_requests,
            periods=alarms.periods,
            period=ALARM_PERIOD,
            namespace=namespace,
            pods=f"({endpoint}-[0-9a-f]{{{DIGITS}}}){PREDICTOR}-.+",
        )
        for suffix, measure, limit in zip(SUFFIXES, measures, limits, strict=True)
        if limit is not None
    )


def guardrail_rules(service: Service, release: Declared) -> tuple[AlarmRule, ...]:
    """The alarms on the guardrails of one release: each has its own limits, for its pack measured them."""
    revision = revision_name(service.endpoint, release.key, service.namespace)
    return tuple(
        AlarmRule(
            name=alarm_of(revision, name),
            measures="wrong",
            guardrail=name,
            threshold=limit,
            min_requests=service.alarms.min_requests,
            periods=service.alarms.periods,
            period=ALARM_PERIOD,
            namespace=service.namespace,
            pods=f"({revision}){PREDICTOR}-.+",
        )
        for name, limit in sorted(service.alarms.limits(release.guardrails).items())
    )


def service_rules(service: Service, releases: Iterable[Declared]) -> tuple[AlarmRule, ...]:
    """All alarms of a service: on whichever release answers, and on the guardrails of those that run."""
    running = [release for release in releases if not release.stopped]
    return (
        *alarm_rules(service.endpoint, service.namespace, service.alarms),
        *(rule for release in running for rule in guardrail_rules(service, release)),
    )


def names(rules: Iterable[AlarmRule]) -> tuple[str, ...]:
    return tuple(rule.name for rule in rules)


def endpoint_of(alarm: str) -> str:
    """The endpoint that an alarm is of. Raises BadInput."""
    revision, dot, _ = alarm.partition(".")
    if dot:
        return revision[: -DIGITS - 1]
    for suffix in SUFFIXES:
        if alarm.endswith(f"-{suffix}"):
            return alarm.removesuffix(f"-{suffix}")
    raise BadInput(f"{alarm} is no alarm of a service on a cluster")


def map_name(endpoint: str) -> str:
    return f"{endpoint}-alarms"


def guard_name(endpoint: str) -> str:
    return f"{endpoint}-guard"


def alarm_map(service: Service, releases: Iterable[Declared]) -> Object:
    """The ConfigMap."""
    rules = service_rules(service, releases)
    file = json.dumps(rules_file(service.endpoint, rules), indent=1)
    return {
        "metadata": _metadata(service, map_name(service.endpoint)),
        "data": {RULES: write_rules(rules), RULES_FILE: file},
    }


def prometheus_rule(service: Service, releases: Iterable[Declared]) -> Object | None:
    """The same alarms, in the same words, for the Prometheus and the Alertmanager of the cluster; None without any."""
    rules = service_rules(service, releases)
    metadata = _metadata(service, map_name(service.endpoint))
    return (
        {
            "apiVersion": RULE,
            "kind": RULE_KIND,
            "metadata": {**metadata, "labels": {**service.cluster.rule_labels, **metadata["labels"]}},
            "spec": rules_file(service.endpoint, rules),
        }
        if rules
        else None
    )


def guard_account(service: Service) -> Object:
    """Whom the guard is: its pod alone has a token."""
    return {
        "metadata": _metadata(service, guard_name(service.endpoint)),
        "automountServiceAccountToken": False,
    }


def guard_role(service: Service) -> Object:
    """What it may: this one route, this one Lease, and nothing else."""
    route = {
        "apiGroups": ["gateway.networking.k8s.io"],
        "resources": ["httproutes"],
        "resourceNames": [service.endpoint],
        "verbs": ["get", "patch"],
    }
    lease = {
        "apiGroups": ["coordination.k8s.io"],
        "resources": ["leases"],
        "resourceNames": [lease_name(service.endpoint)],
        "verbs": ["get", "update", "patch"],
    }
    return {"metadata": _metadata(service, guard_name(service.endpoint)), "rules": [route, lease]}


def guard_binding(service: Service) -> Object:
    name = guard_name(service.endpoint)
    return {
        "metadata": _metadata(service, name),
        "role_ref": {"api_group": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": service.namespace}],
    }


def _metadata(service: Service, name: str) -> Object:
    return {"name": name, "namespace": service.namespace, "labels": labels(service)}
