"""KServe: its kind, its version, and whether it would take the very InferenceService that is to come (a dry run, which
its webhooks see and nothing else does)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime

from infra.kubernetes.base import KubernetesApi
from infra.kubernetes.client import KubernetesRefused
from infra.preflight.base import ClusterNeeds, Lack
from infra.tags import Tags
from infra.targets.base import Declared, Service
from infra.targets.kserve.manifests import ISVC, ISVC_KIND, inference_service

OLDEST, MEASURED = (0, 16), (0, 20)
"""The first that knows the mode by the name Standard; and what everything here was measured on."""
INSTALL = "https://kserve.github.io/website/docs/admin-guide/kubernetes-deployment"
CONTROLLER = ("kserve", "kserve-controller-manager", "manager")
VERSION = re.compile(r":v?(\d{1,4})\.(\d{1,4})")


def check(api: KubernetesApi, needs: ClusterNeeds) -> Iterator[Lack]:
    if not api.knows(ISVC, ISVC_KIND):
        what = f"the cluster has no {ISVC_KIND} of {ISVC}"
        yield Lack(what=what, hint=f"install KServe {OLDEST[0]}.{OLDEST[1]} or newer: {INSTALL}")
        return
    version = find_version(api)
    if version and version < OLDEST:
        what = f"KServe is {version[0]}.{version[1]}, and {OLDEST[0]}.{OLDEST[1]} is the oldest that will do"
        yield Lack(what=what, hint=f"upgrade it: {INSTALL}")
    elif version and version != MEASURED:
        measured = f"{MEASURED[0]}.{MEASURED[1]}"
        what = (
            f"KServe is {version[0]}.{version[1]}; what ecomdeploy expects of it was measured on {measured}"
        )
        yield Lack(what=what, hint="watch the first rollout", stops=False)
    yield from try_out(api, needs)


def find_version(api: KubernetesApi) -> tuple[int, int] | None:
    """By the tag of its controller's image; None where that is not to be seen."""
    namespace, name, container = CONTROLLER
    try:
        found = api.get("apps/v1", "Deployment", name, namespace)
    except KubernetesRefused as refused:
        if refused.status != 403:
            raise
        return None
    for one in found["spec"]["template"]["spec"]["containers"] if found else ():
        told = VERSION.search(str(one.get("image", "")))
        if told and one.get("name") == container:
            return int(told[1]), int(told[2])
    return None


def try_out(api: KubernetesApi, needs: ClusterNeeds) -> Iterator[Lack]:
    """What a missing namespace or right does to it, the checks of those say."""
    try:
        api.create(specimen(needs), dry_run=True)
    except KubernetesRefused as refused:
        words = str(refused)
        if refused.status == 404 or (refused.status == 403 and "denied the request" not in words):
            return
        if refused.status >= 500:
            namespace, name, _ = CONTROLLER
            hint = f"{needs.kubectl} --namespace {namespace} get deployment {name}"
            yield Lack(what=f"KServe's webhook does not do its work: {words}", hint=hint)
            return
        yield Lack(what=f"KServe would refuse the release: {words}", hint=f"another version? {INSTALL}")


def specimen(needs: ClusterNeeds) -> dict[str, object]:
    """An InferenceService as `up` will make it, of an image that is none."""
    service = Service(
        endpoint=needs.endpoint,
        base={},
        project_tags=Tags(project="preflight", stack="preflight", environment="preflight"),
        now=datetime.now(UTC),
        namespace=needs.namespace,
        cluster=needs.cluster,
    )
    image = f"registry.invalid/preflight@sha256:{'0' * 64}"
    release = Declared(key="0" * 12, image=image, instance=needs.instance, count=needs.replicas)
    return inference_service(service, release, needs.hosts)
