"""The Kubernetes provider against a real API server: what it makes, sees, mends, refuses and waits for."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pulumi
import pulumi_kubernetes as k8s
import pytest
from pulumi import automation
from waiting import wait_for

from infra.rehearsal.engine.commands.command import EmbeddedPulumiCommand
from infra.rehearsal.engine.provider import ProviderError, ResourceIdentity
from infra.rehearsal.providers.kubernetes.objects import INITIAL_KEY, INPUTS_KEY, MANAGER_KEY
from infra.rehearsal.providers.kubernetes.provider import KubernetesProvider
from tests.infra.kubernetes_provider.conftest import Hours, KilledProviders, KubernetesLab

pytestmark = pytest.mark.kubernetes
PASSWORD = "correct-horse-battery"
LONG = "pulumi.com/timeoutSeconds"


def deployment(
    namespace: str,
    *,
    image: str = "fine:1",
    label: str = "web",
    replicas: int | None = 2,
    seconds: int = 300,
    opts: pulumi.ResourceOptions | None = None,
) -> k8s.apps.v1.Deployment:
    """`web`, of pods that do as the image says."""
    container: dict[str, Any] = {"name": "web", "image": image, "resources": {"requests": {"cpu": "1000m"}}}
    pod = {"schedulerName": "puppets", "containers": [container]}
    spec: dict[str, Any] = {
        "selector": {"matchLabels": {"app": label}},
        "template": {"metadata": {"labels": {"app": label}}, "spec": pod},
    }
    if replicas is not None:
        spec["replicas"] = replicas
    metadata = {"name": "web", "namespace": namespace, "annotations": {LONG: str(seconds)}}
    return k8s.apps.v1.Deployment("web", metadata=metadata, spec=spec, opts=opts)


def config_map(namespace: str, data: Mapping[str, str], name: str = "") -> k8s.core.v1.ConfigMap:
    """`settings`, named by Pulumi unless it has a name."""
    metadata = {"namespace": namespace} | ({"name": name} if name else {})
    return k8s.core.v1.ConfigMap("settings", metadata=metadata, data=dict(data))


def shop(lab: KubernetesLab, **options: Any) -> Callable[[], None]:
    """A Deployment with its Service, settings and a key."""

    def program() -> None:
        settings = config_map(lab.namespace, {"colour": "blue"})
        metadata = {"name": "key", "namespace": lab.namespace}
        k8s.core.v1.Secret("key", metadata=metadata, string_data={"password": PASSWORD})
        deployment(lab.namespace, **options)
        ports = [{"port": 80, "targetPort": 8080}]
        k8s.core.v1.Service(
            "web",
            metadata={"name": "web", "namespace": lab.namespace},
            spec={"selector": {"app": "web"}, "ports": ports},
        )
        pulumi.export("settings", settings.metadata.name)

    return program


def test_a_program_is_made_as_it_is_declared(kubernetes_lab: KubernetesLab) -> None:
    run = kubernetes_lab.lab.up(shop(kubernetes_lab))
    assert run.counts == {"create": 5}
    live = kubernetes_lab.get("apps/v1", "Deployment", "web")
    assert live["status"]["availableReplicas"] == 2
    assert set(live["metadata"]["annotations"]) == {LONG, "deployment.kubernetes.io/revision"}
    assert "labels" not in live["metadata"]
    name = str(run.outputs["settings"].value)
    assert name.startswith("settings-")
    assert len(name) == len("settings-") + 8
    settings = kubernetes_lab.get("v1", "ConfigMap", name)
    assert settings["data"] == {"colour": "blue"}
    assert settings["metadata"]["annotations"] == {"pulumi.com/autonamed": "true"}
    key = kubernetes_lab.get("v1", "Secret", "key")
    assert base64.b64decode(key["data"]["password"]).decode() == PASSWORD


def test_the_state_is_pulumi_kubernetes_own_and_hides_a_secret_that_nobody_marked(
    kubernetes_lab: KubernetesLab,
) -> None:
    kubernetes_lab.lab.up(shop(kubernetes_lab))
    web = kubernetes_lab.resource("settings")
    assert web["id"] == f"{kubernetes_lab.namespace}/{web['outputs']['metadata']['name']}"
    assert web["outputs"][INITIAL_KEY] == "v1"
    assert web["outputs"][INPUTS_KEY] == web["inputs"]
    manager = web["outputs"][MANAGER_KEY]
    live = kubernetes_lab.get("v1", "ConfigMap", web["outputs"]["metadata"]["name"])
    assert [(one["manager"], one["operation"]) for one in live["metadata"]["managedFields"]] == [
        (manager, "Apply")
    ]
    text = kubernetes_lab.lab.checkpoint.read_text()
    assert PASSWORD not in text
    assert base64.b64encode(PASSWORD.encode()).decode() not in text


def test_nothing_is_written_when_nothing_has_changed(kubernetes_lab: KubernetesLab) -> None:
    program = shop(kubernetes_lab)
    kubernetes_lab.lab.up(program)
    wait_for(lambda: kubernetes_lab.is_alone())
    before = kubernetes_lab.writes()
    assert before > 0
    assert kubernetes_lab.lab.preview(program, refresh=True).counts == {"same": 5}
    assert kubernetes_lab.lab.up(program).counts == {"same": 5}
    assert kubernetes_lab.lab.up(program, refresh=True).counts == {"same": 5}
    assert kubernetes_lab.writes() == before


def test_what_is_only_spelled_otherwise_is_no_change(kubernetes_lab: KubernetesLab) -> None:
    kubernetes_lab.lab.up(lambda: _quota(kubernetes_lab, "1000m"))
    assert kubernetes_lab.lab.preview(lambda: _quota(kubernetes_lab, "1")).counts == {"same": 2}
    assert kubernetes_lab.lab.preview(lambda: _quota(kubernetes_lab, "2")).counts == {"same": 1, "update": 1}


def _quota(lab: KubernetesLab, cpu: str) -> None:
    metadata = {"name": "most", "namespace": lab.namespace}
    k8s.core.v1.ResourceQuota("most", metadata=metadata, spec={"hard": {"requests.cpu": cpu}})


def test_an_edit_by_hand_is_seen_and_mended(kubernetes_lab: KubernetesLab) -> None:
    program = shop(kubernetes_lab)
    kubernetes_lab.lab.up(program)
    kubernetes_lab.edit("apps/v1", "Deployment", "web", {"spec": {"replicas": 3}})
    kubernetes_lab.edit("v1", "Service", "web", {"spec": {"selector": {"app": "other"}}}, "kubectl-patch")
    kubernetes_lab.edit("v1", "Service", "web", {"metadata": {"labels": {"by": "hand"}}}, "kubectl-label")
    planned = kubernetes_lab.lab.preview(program, refresh=True)
    assert planned.counts == {"same": 3, "update": 2}
    assert kubernetes_lab.lab.up(program, refresh=True).counts == {"same": 3, "update": 2}
    assert kubernetes_lab.get("apps/v1", "Deployment", "web")["spec"]["replicas"] == 2
    service = kubernetes_lab.get("v1", "Service", "web")
    assert service["spec"]["selector"] == {"app": "web"}
    assert service["metadata"]["labels"] == {"by": "hand"}
    assert kubernetes_lab.lab.up(program, refresh=True).counts == {"same": 5}


def test_what_is_gone_is_made_again(kubernetes_lab: KubernetesLab) -> None:
    program = shop(kubernetes_lab)
    kubernetes_lab.lab.up(program)
    kubernetes_lab.client.delete(kubernetes_lab.get("v1", "Service", "web"))
    assert kubernetes_lab.lab.up(program, refresh=True).counts == {"same": 4, "create": 1}
    kubernetes_lab.get("v1", "Service", "web")


def test_a_foreign_managers_field_is_told_and_left(kubernetes_lab: KubernetesLab) -> None:
    kubernetes_lab.lab.up(lambda: deployment(kubernetes_lab.namespace))
    kubernetes_lab.edit("apps/v1", "Deployment", "web", {"spec": {"replicas": 3}}, "autoscaler")
    for operate in (kubernetes_lab.lab.preview, kubernetes_lab.lab.up):
        with pytest.raises(automation.CommandError, match=r'\.spec\.replicas by "autoscaler"') as told:
            operate(lambda: deployment(kubernetes_lab.namespace), refresh=True)
        assert "ignore_changes" in str(told.value)
    assert kubernetes_lab.get("apps/v1", "Deployment", "web")["spec"]["replicas"] == 3


def test_what_is_ignored_stays_the_other_managers_own(kubernetes_lab: KubernetesLab) -> None:
    opts = pulumi.ResourceOptions(ignore_changes=["spec.replicas"])
    kubernetes_lab.lab.up(lambda: deployment(kubernetes_lab.namespace, opts=opts))
    kubernetes_lab.edit("apps/v1", "Deployment", "web", {"spec": {"replicas": 3}}, "autoscaler")
    assert kubernetes_lab.lab.up(lambda: deployment(kubernetes_lab.namespace, opts=opts)).counts["same"] == 2
    changed = kubernetes_lab.lab.up(lambda: deployment(kubernetes_lab.namespace, image="fine:2", opts=opts))
    assert changed.counts == {"same": 1, "update": 1}
    live = kubernetes_lab.get("apps/v1", "Deployment", "web")
    assert live["spec"]["replicas"] == 3
    assert live["spec"]["template"]["spec"]["containers"][0]["image"] == "fine:2"
    owners = [
        one["manager"]
        for one in live["metadata"]["managedFields"]
        if "f:replicas" in one["fieldsV1"].get("f:spec", {})
    ]
    assert owners == ["autoscaler"]


def test_a_list_that_another_moves_as_a_whole_is_left_to_it(kubernetes_lab: KubernetesLab) -> None:
    """An Ingress' rules have one manager, like an HTTPRoute's: whoever moves a weight has them all."""

    def route(host: str, backend: str) -> list[dict[str, Any]]:
        service = {"name": backend, "port": {"number": 80}}
        paths = [{"path": "/", "pathType": "Prefix", "backend": {"service": service}}]
        return [{"host": host, "http": {"paths": paths}}]

    def program(host: str, mark: str) -> None:
        annotations = {"pulumi.com/skipAwait": "true", "mark": mark}
        path = "spec.rules[0].http.paths[0].backend.service.name"
        k8s.networking.v1.Ingress(
            "route",
            metadata={"name": "route", "namespace": kubernetes_lab.namespace, "annotations": annotations},
            spec={"rules": route(host, "release-1")},
            opts=pulumi.ResourceOptions(ignore_changes=[path]),
        )

    kubernetes_lab.lab.up(lambda: program("shop.test", "1"))
    moved = {"spec": {"rules": route("shop.test", "release-2")}}
    kubernetes_lab.edit("networking.k8s.io/v1", "Ingress", "route", moved, "rollout")
    assert kubernetes_lab.lab.up(lambda: program("shop.test", "2")).counts == {"same": 1, "update": 1}
    live = kubernetes_lab.get("networking.k8s.io/v1", "Ingress", "route")
    assert live["metadata"]["annotations"]["mark"] == "2"
    assert live["spec"]["rules"] == route("shop.test", "release-2")
    with pytest.raises(automation.CommandError, match=r'\.spec\.rules by "rollout"'):
        kubernetes_lab.lab.up(lambda: program("other.test", "2"))
    assert (
        kubernetes_lab.get("networking.k8s.io/v1", "Ingress", "route")["spec"]["rules"][0]["host"]
        == "shop.test"
    )


def test_what_cannot_change_is_replaced(kubernetes_lab: KubernetesLab) -> None:
    def program(label: str, colour: str) -> None:
        deployment(kubernetes_lab.namespace, label=label)
        config_map(kubernetes_lab.namespace, {"colour": colour})

    kubernetes_lab.lab.up(lambda: program("web", "blue"))
    before = kubernetes_lab.get("apps/v1", "Deployment", "web")["metadata"]["uid"]
    old = kubernetes_lab.resource("settings")["id"]
    run = kubernetes_lab.lab.up(lambda: program("shop", "red"))
    assert run.counts == {"same": 1, "replace": 2}
    assert run.steps.index(("delete-replaced", "web")) < run.steps.index(("create-replacement", "web"))
    assert run.steps.index(("create-replacement", "settings")) < run.steps.index(
        ("delete-replaced", "settings")
    )
    live = kubernetes_lab.get("apps/v1", "Deployment", "web")
    assert live["metadata"]["uid"] != before
    assert live["spec"]["selector"]["matchLabels"] == {"app": "shop"}
    assert kubernetes_lab.resource("settings")["id"] != old
    assert kubernetes_lab.client.get("v1", "ConfigMap", old.split("/")[1], kubernetes_lab.namespace) is None


def test_a_provider_may_let_contents_change_in_place(kubernetes_lab: KubernetesLab) -> None:
    def program(colour: str) -> None:
        provider = k8s.Provider("here", namespace=kubernetes_lab.namespace, enable_config_map_mutable=True)
        k8s.core.v1.ConfigMap(
            "settings", data={"colour": colour}, opts=pulumi.ResourceOptions(provider=provider)
        )

    kubernetes_lab.lab.up(lambda: program("blue"))
    before = kubernetes_lab.resource("settings")["id"]
    assert before.startswith(f"{kubernetes_lab.namespace}/")
    assert kubernetes_lab.lab.up(lambda: program("red")).counts == {"same": 2, "update": 1}
    assert kubernetes_lab.resource("settings")["id"] == before
    assert kubernetes_lab.get("v1", "ConfigMap", before.split("/")[1])["data"] == {"colour": "red"}


@pytest.mark.parametrize(
    ("image", "words"),
    [
        ("absent:1", r'container web waits, ImagePullBackOff: Back-off pulling image "absent:1"'),
        ("crash:1", r"container web ended with exit status 3, Error: ModuleNotFoundError: own_shop"),
        ("slow:1", r"container web runs and does not pass its readiness probe"),
    ],
)
def test_a_broken_deployment_is_told_with_its_cause_and_mended_by_the_next(
    kubernetes_lab: KubernetesLab, image: str, words: str
) -> None:
    with pytest.raises(automation.CommandError, match=words) as told:
        kubernetes_lab.lab.up(lambda: deployment(kubernetes_lab.namespace, image=image, seconds=5))
    assert f"Deployment {kubernetes_lab.namespace}/web is there and not ready after 5 s" in str(told.value)
    assert "0 of 2 replicas are available" in str(told.value)
    assert kubernetes_lab.resource("web")["initErrors"]
    run = kubernetes_lab.lab.up(lambda: deployment(kubernetes_lab.namespace), refresh=True)
    assert run.counts == {"same": 1, "update": 1}
    assert kubernetes_lab.lab.up(lambda: deployment(kubernetes_lab.namespace), refresh=True).counts == {
        "same": 2
    }


def test_what_still_ails_is_seen_by_a_refresh(kubernetes_lab: KubernetesLab) -> None:
    """The inputs are as declared, and yet the next run has something to do: to wait, and to say why."""
    for _ in range(2):
        with pytest.raises(automation.CommandError, match="ImagePullBackOff"):
            kubernetes_lab.lab.up(
                lambda: deployment(kubernetes_lab.namespace, image="absent:1", seconds=2), refresh=True
            )


def test_what_a_killed_run_left_is_adopted(kubernetes_lab: KubernetesLab) -> None:
    def program() -> None:
        config_map(kubernetes_lab.namespace, {"colour": "blue"})

    sound = kubernetes_lab.lab.command
    kubernetes_lab.lab.command = EmbeddedPulumiCommand(
        KilledProviders(), environment=kubernetes_lab.lab.variables
    )
    with pytest.raises(automation.CommandError, match="killed"):
        kubernetes_lab.lab.up(program)
    kubernetes_lab.lab.command = sound
    assert [one["type"] for one in kubernetes_lab.lab.deployment["pending_operations"]] == ["creating"]
    left = kubernetes_lab.client.list("v1", "ConfigMap", kubernetes_lab.namespace)
    kubernetes_lab.lab.up(program)
    assert kubernetes_lab.lab.deployment["pending_operations"] == []
    now = kubernetes_lab.client.list("v1", "ConfigMap", kubernetes_lab.namespace)
    assert {one["metadata"]["uid"] for one in now} >= {one["metadata"]["uid"] for one in left}
    ours = [one for one in now if one["metadata"]["name"].startswith("settings-")]
    assert [one["metadata"]["name"] for one in ours] == [
        kubernetes_lab.resource("settings")["id"].split("/")[1]
    ]


def test_anothers_object_is_refused(kubernetes_lab: KubernetesLab) -> None:
    theirs = {"name": "settings", "namespace": kubernetes_lab.namespace}
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": theirs, "data": {"colour": "green"}}
    kubernetes_lab.client.apply(body, "another")
    for operate in (kubernetes_lab.lab.preview, kubernetes_lab.lab.up):
        with pytest.raises(
            automation.CommandError, match=r'configmaps "[^"]*/settings" already exists'
        ) as told:
            operate(lambda: config_map(kubernetes_lab.namespace, {"colour": "blue"}, "settings"))
        assert "pulumi import" in str(told.value)
    assert kubernetes_lab.get("v1", "ConfigMap", "settings")["data"] == {"colour": "green"}


def test_the_plan_tells_what_the_server_would_refuse(kubernetes_lab: KubernetesLab) -> None:
    def program(port: int) -> None:
        metadata = {"name": "web", "namespace": kubernetes_lab.namespace}
        k8s.core.v1.Service("web", metadata=metadata, spec={"ports": [{"port": port}]})

    with pytest.raises(automation.CommandError, match=r"spec\.ports\[0\]\.port: Invalid value: 99999"):
        kubernetes_lab.lab.preview(lambda: program(99999))
    kubernetes_lab.lab.up(lambda: program(80))
    with pytest.raises(automation.CommandError, match=r"spec\.ports\[0\]\.port: Invalid value: 99999"):
        kubernetes_lab.lab.preview(lambda: program(99999))


GROUP = "test.ecomdeploy.example"


def definition(plural: str, kind: str) -> k8s.apiextensions.v1.CustomResourceDefinition:
    """A kind of one's own, whose every field is kept."""
    schema = {"openAPIV3Schema": {"type": "object", "x_kubernetes_preserve_unknown_fields": True}}
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": schema,
        "subresources": {"status": {}},
    }
    return k8s.apiextensions.v1.CustomResourceDefinition(
        f"{plural}-kind",
        metadata={"name": f"{plural}.{GROUP}"},
        spec={
            "group": GROUP,
            "scope": "Namespaced",
            "names": {"plural": plural, "singular": kind.lower(), "kind": kind},
            "versions": [version],
        },
    )


def test_a_kind_and_its_object_come_in_one_run(kubernetes_lab: KubernetesLab) -> None:
    def program() -> None:
        made = definition("baskets", "Basket")
        metadata = {"name": "one", "namespace": kubernetes_lab.namespace}
        k8s.apiextensions.CustomResource(
            "one",
            api_version=f"{GROUP}/v1",
            kind="Basket",
            metadata=metadata,
            spec={"books": 3},
            opts=pulumi.ResourceOptions(depends_on=[made]),
        )

    assert kubernetes_lab.lab.preview(program).counts == {"create": 3}
    assert kubernetes_lab.lab.up(program).counts == {"create": 3}
    assert kubernetes_lab.get(f"{GROUP}/v1", "Basket", "one")["spec"] == {"books": 3}
    assert kubernetes_lab.lab.up(program, refresh=True).counts == {"same": 3}
    kubernetes_lab.lab.destroy()
    assert (
        kubernetes_lab.client.get("apiextensions.k8s.io/v1", "CustomResourceDefinition", f"baskets.{GROUP}")
        is None
    )


def test_a_condition_is_waited_for_where_an_annotation_asks(kubernetes_lab: KubernetesLab) -> None:
    def program(seconds: int) -> None:
        made = definition("crates", "Crate")
        annotations = {"pulumi.com/waitFor": "condition=Ready", LONG: str(seconds)}
        metadata = {"name": "one", "namespace": kubernetes_lab.namespace, "annotations": annotations}
        k8s.apiextensions.CustomResource(
            "one",
            api_version=f"{GROUP}/v1",
            kind="Crate",
            metadata=metadata,
            spec={},
            opts=pulumi.ResourceOptions(depends_on=[made]),
        )

    with pytest.raises(
        automation.CommandError, match=r"Crate .*/one is there and not ready.*condition=Ready"
    ):
        kubernetes_lab.lab.up(lambda: program(3))
    ready = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
    kubernetes_lab.client.patch(kubernetes_lab.get(f"{GROUP}/v1", "Crate", "one"), ready, "status")
    kubernetes_lab.lab.up(lambda: program(300))
    kubernetes_lab.lab.destroy()


def test_what_holds_up_a_deletion_is_told(kubernetes_lab: KubernetesLab) -> None:
    def program() -> None:
        metadata = {"name": "settings", "namespace": kubernetes_lab.namespace, "annotations": {LONG: "2"}}
        k8s.core.v1.ConfigMap("settings", metadata=metadata, data={})

    kubernetes_lab.lab.up(program)
    held = {"metadata": {"finalizers": ["shop.example/audit"]}}
    kubernetes_lab.edit("v1", "ConfigMap", "settings", held, "auditor")
    with pytest.raises(
        automation.CommandError, match=r"its finalizers shop\.example/audit have not been taken off"
    ):
        kubernetes_lab.lab.destroy()
    kubernetes_lab.edit("v1", "ConfigMap", "settings", {"metadata": {"finalizers": None}}, "auditor")
    wait_for(
        lambda: kubernetes_lab.client.get("v1", "ConfigMap", "settings", kubernetes_lab.namespace) is None
    )
    kubernetes_lab.lab.destroy()


def test_a_namespace_is_gone_when_its_deletion_is(kubernetes_lab: KubernetesLab) -> None:
    name = f"{kubernetes_lab.namespace}-own"

    def program() -> None:
        place = k8s.core.v1.Namespace("own", metadata={"name": name})
        config_map(place.metadata.name, {"colour": "blue"})

    kubernetes_lab.lab.up(program)
    kubernetes_lab.lab.destroy()
    assert kubernetes_lab.client.get("v1", "Namespace", name) is None


def test_another_that_has_come_to_its_name_is_not_deleted(kubernetes_lab: KubernetesLab) -> None:
    kubernetes_lab.lab.up(lambda: config_map(kubernetes_lab.namespace, {"colour": "blue"}, "settings"))
    kubernetes_lab.client.delete(kubernetes_lab.get("v1", "ConfigMap", "settings"))
    theirs = {"name": "settings", "namespace": kubernetes_lab.namespace}
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": theirs, "data": {"colour": "green"}}
    kubernetes_lab.client.apply(body, "another")
    kubernetes_lab.lab.up(lambda: None)
    assert kubernetes_lab.get("v1", "ConfigMap", "settings")["data"] == {"colour": "green"}


def test_what_pulumi_kubernetes_created_is_taken_over(kubernetes_lab: KubernetesLab) -> None:
    """The real provider creates as "pulumi-kubernetes" and applies later: a field that then goes must go."""
    mutable = {"enable_config_map_mutable": True}

    def program(data: Mapping[str, str]) -> None:
        provider = k8s.Provider("here", **mutable)
        metadata = {"name": "settings", "namespace": kubernetes_lab.namespace}
        opts = pulumi.ResourceOptions(provider=provider)
        k8s.core.v1.ConfigMap("settings", metadata=metadata, data=dict(data), opts=opts)

    kubernetes_lab.lab.up(lambda: program({"colour": "blue", "size": "1"}))
    live = kubernetes_lab.get("v1", "ConfigMap", "settings")
    created = {**live["metadata"]["managedFields"][0], "manager": "pulumi-kubernetes", "operation": "Update"}
    kubernetes_lab.client.patch(live, {"metadata": {"managedFields": [created]}})
    kubernetes_lab.lab.up(lambda: program({"colour": "blue"}))
    assert kubernetes_lab.get("v1", "ConfigMap", "settings")["data"] == {"colour": "blue"}


@pytest.mark.parametrize("api_version", ["none.shop.example/v1", "apps/v1"])
def test_a_kind_that_the_cluster_never_gets_is_named(kubernetes_lab: KubernetesLab, api_version: str) -> None:
    hours = Hours()
    provider = KubernetesProvider(kubernetes_lab.lab.variables, hours.clock)
    provider.configure({})
    who = ResourceIdentity(urn="urn", name="one", project="shop", stack="dev")
    inputs = {
        "apiVersion": api_version,
        "kind": "Basket",
        "metadata": {"name": "one", "namespace": "default"},
    }
    with pytest.raises(ProviderError, match=f"the cluster has no Basket of {api_version}"):
        provider.create(f"kubernetes:{api_version}:Basket", who, inputs, preview=False)
    assert hours.time == 31
    assert provider.create(f"kubernetes:{api_version}:Basket", who, inputs, preview=True).outputs == inputs


def test_what_is_no_kind_is_refused_by_name(kubernetes_lab: KubernetesLab, tmp_path: Path) -> None:
    release = {"chart": "kserve", "version": "0.20.0"}
    manifest = tmp_path / "manifest.yaml"
    manifest.write_text("{}")

    def patch() -> None:
        metadata = {"name": "settings", "namespace": kubernetes_lab.namespace}
        k8s.core.v1.ConfigMapPatch("settings", metadata=metadata, data={})

    programs: dict[str, Callable[[], object]] = {
        "kubernetes:helm.sh/v3:Release": lambda: k8s.helm.v3.Release("kserve", **release),
        "kubernetes:yaml:decode": lambda: k8s.yaml.ConfigFile("all", file=str(manifest)),
        "kubernetes:core/v1:ConfigMapPatch": patch,
        "kubernetes:core/v1:ConfigMapList": lambda: k8s.core.v1.ConfigMapList("all", items=[]),
    }
    for word, program in programs.items():
        with pytest.raises(automation.CommandError, match=word) as told:
            kubernetes_lab.lab.preview(program)  # type: ignore[arg-type]
        assert "use the Pulumi CLI" in str(told.value)
