"""`cloud: cluster` in the spec file: what it needs, what it may not say, and how names there are written."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.spec import ClusterSpec
from infra.targets.kserve.target import KServe
from infra.targets.sagemaker.target import SageMaker
from modelpack.errors import BadInput
from stacks.reading.load import load
from stacks.spec import KnownNames, Spec

KNOWN = KnownNames(
    usecases=frozenset({"recommendation"}),
    targets={"sagemaker": SageMaker(), "kserve": KServe()},
    passes=frozenset(),
)
NEEDED = "context: shop-eu, registry: ghcr.io/shop/models"


def read(folder: Path, keys: str, environment: str = "{target: kserve}", service: str = "shop") -> Spec:
    file = folder / "ecomdeploy.yaml"
    file.write_text(
        f"version: 1\nservice: {service}\nusecase: recommendation\nserve: {environment}\n"
        f"environments:\n  gke: {{cloud: cluster{', ' if keys else ''}{keys}}}\n"
    )
    return load(file, "gke", KNOWN)


def test_a_cluster_is_named_by_its_context_and_registry(tmp_path: Path) -> None:
    place = read(tmp_path, f"{NEEDED}, namespace: ml").environment
    assert (place.context, place.registry, place.namespace) == ("shop-eu", "ghcr.io/shop/models", "ml")
    assert place.cluster == ClusterSpec(
        distribution="bare",
        domain="example.com",
        gateway="kserve/kserve-ingress-gateway",
        image_pull_secret="",
    )


def test_what_its_objects_must_know_is_handed_on(tmp_path: Path) -> None:
    keys = "distribution: aks, domain: ml.shop.example, gateway: edge/public, image_pull_secret: login"
    keys += ", rule_labels: {release: monitoring}"
    found = read(tmp_path, f"{NEEDED}, {keys}, kubeconfig: ~/aks.yaml, state: ../state").environment
    told = ClusterSpec(
        distribution="aks",
        domain="ml.shop.example",
        gateway="edge/public",
        image_pull_secret="login",
        rule_labels={"release": "monitoring"},
    )
    assert (found.cluster, found.state, found.kubeconfig) == (told, "../state", "~/aks.yaml")


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        (
            "registry: ghcr.io/shop",
            "environments.gke: a cluster environment needs context (context: a name of `kubectl config",
        ),
        ("context: c", "environments.gke: a cluster environment needs registry"),
        (
            f"{NEEDED}, account: '123456789012'",
            "environments.gke.account: a cluster has no AWS account (leave it out)",
        ),
        (
            f"{NEEDED}, region: us-east-1",
            "environments.gke.region: a cluster has no AWS region (leave it out)",
        ),
        (
            f"{NEEDED}, secrets: awskms://alias/x",
            "environments.gke.secrets: no key of AWS is asked for there",
        ),
        (f"{NEEDED}, state: s3://bucket", "environments.gke.state: expected a folder, got 's3://bucket'"),
        (
            "context: c, registry: https://ghcr.io/x",
            "environments.gke.registry: expected a registry's host and a path below it",
        ),
        (
            "context: c, registry: ghcr.io",
            "environments.gke.registry: expected a registry's host and a path below it",
        ),
        (
            "context: c, registry: ghcr.io/Shop",
            "environments.gke.registry: expected a registry's host and a path below it",
        ),
        (
            "context: c, registry: 'ghcr.io/shop:latest'",
            "environments.gke.registry: expected a registry's host and a path below it",
        ),
        (f"{NEEDED}, domain: http://shop", "environments.gke.domain: expected a domain, got 'http://shop'"),
        (f"{NEEDED}, domain: {'a.' * 115}example", "environments.gke.domain: shop-gke.default.a.a."),
        (
            f"{NEEDED}, gateway: public",
            "environments.gke.gateway: expected a namespace and a name, got 'public' (like gateways/public)",
        ),
        (
            f"{NEEDED}, rule_labels: {{release: a b}}",
            "environments.gke.rule_labels.release: expected a label of Kubernetes, got release: 'a b'",
        ),
        (
            f"{NEEDED}, image_pull_secret: My_Login",
            "environments.gke.image_pull_secret: expected the name of a Secret",
        ),
        (
            f"{NEEDED}, distribution: openshift",
            "environments.gke.distribution: expected 'aks', 'gke', 'eks', 'kind' or 'bare', got 'openshift'",
        ),
        (f"{NEEDED}, contxt: c", "environments.gke.contxt: unknown key (did you mean context?)"),
    ],
)
def test_mistakes_are_told_with_their_line(tmp_path: Path, keys: str, told: str) -> None:
    with pytest.raises(BadInput) as error:
        read(tmp_path, keys)
    (problem,) = error.value.problems
    assert str(problem).startswith(f"{tmp_path}/ecomdeploy.yaml:6: {told}")


def test_sagemaker_is_refused_there_with_the_line(tmp_path: Path) -> None:
    for serve in ("{target: sagemaker}", "{instance: ml.c7i.large}"):
        with pytest.raises(
            BadInput, match=r"yaml:6: environments\.gke\.cloud: sagemaker cannot run on a cluster"
        ):
            read(tmp_path, NEEDED, serve)


@pytest.mark.parametrize("key", ["context: c", "registry: a/b", "gateway: a/b", "domain: d", "kubeconfig: k"])
def test_a_clusters_keys_are_refused_elsewhere(tmp_path: Path, key: str) -> None:
    file = tmp_path / "ecomdeploy.yaml"
    file.write_text(
        f"version: 1\nservice: s\nusecase: recommendation\nenvironments: {{local: {{cloud: local, {key}}}}}\n"
    )
    with pytest.raises(BadInput, match=r"is for cloud: cluster, and this is cloud: local \(leave it out\)"):
        load(file, "local", KNOWN)


def test_a_p99_that_no_alarm_can_ring_at_is_refused_with_its_line(tmp_path: Path) -> None:
    """The servers count by buckets, and Prometheus tells no time beyond the last."""
    alarms = "{target: kserve}\nrollout: {alarms: {p99_ms: %s}}"
    assert read(tmp_path, NEEDED, alarms % 4999).rollout.alarms.p99_ms == 4999
    with pytest.raises(
        BadInput, match=r"rollout\.alarms\.p99_ms: no alarm of kserve can ring there.*5000 ms"
    ):
        read(tmp_path, NEEDED, alarms % 5000)


def test_a_name_that_kserve_would_cut_is_refused_with_its_namespace(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="is too long for kserve in the namespace a-namespace-of-many"):
        read(
            tmp_path, f"{NEEDED}, namespace: a-namespace-of-many-words-in-one", service="shop-recommendations"
        )


def test_a_gpu_that_a_cloud_has_no_word_for_is_refused_with_its_line(tmp_path: Path) -> None:
    told = r"yaml:4: serve\.instance: no node of gke is known to have the GPU of g5.xlarge \(A10G\) \(known: A100"
    with pytest.raises(BadInput, match=told):
        read(tmp_path, f"{NEEDED}, distribution: gke", "{target: kserve, instance: g5.xlarge}")
    assert read(tmp_path, f"{NEEDED}, distribution: eks", "{target: kserve, instance: g5.xlarge}")
    assert read(tmp_path, f"{NEEDED}, distribution: gke", "{target: kserve, instance: g6.xlarge}")
