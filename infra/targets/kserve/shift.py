"""Make a revision ready, move the weights onto it, wait until the gateway has them."""

from __future__ import annotations

from infra.kubernetes.base import KubernetesApi, Object
from infra.kubernetes.patience import PAUSE, look_patiently
from infra.targets.base import Clock, Observation, Phase
from infra.targets.kserve.manifests import ROUTE, ROUTE_KIND, rules
from infra.targets.kserve.names import service_name
from infra.targets.kserve.observe import RevisionState, find_way, look, observe
from modelpack.errors import CloudRefused, EcomdeployError, Unhealthy
from modelpack.progress import Progress
from modelpack.server.guarding.cluster import MANAGER

PATIENCE = 90.0
"""How long what is in the way may stay there before waiting is given up: an image that is not found, no room. What
brings nodes, and a registry, need some time. A node that Karpenter said to bring is no trouble, and is waited for."""
LOOKS_ELSEWHERE = 3


def prepare(
    api: KubernetesApi,
    namespace: str,
    endpoint: str,
    revision: str,
    progress: Progress,
    deadline: float,
    clock: Clock,
) -> None:
    """Until all pods of a revision answer, as many as now serve (no more than may be).

    Raises:
        Unhealthy: it will not, or `deadline` seconds have passed. CloudRefused: for want of room or quota.
    """
    end, grows = clock.now() + deadline, True
    while grows:
        look_patiently(lambda: match_size(api, namespace, endpoint, revision), end, clock)
        await_complete(api, namespace, revision, progress, end - clock.now(), clock)
        # there may have been no Deployment to grow before, and its own autoscaler may have taken pods away meanwhile
        grows = look_patiently(lambda: match_size(api, namespace, endpoint, revision), end, clock)


def match_size(api: KubernetesApi, namespace: str, endpoint: str, revision: str) -> bool:
    """As many pods as serve now: the autoscaler has made them more for the load that is to come over. Whether it had
    fewer."""
    way = find_way(api, namespace, endpoint)
    others = [one for one in (way.weights if way else ()) if one != revision]
    serving = max((look(api, namespace, one).wanted for one in others), default=0)
    running = look(api, namespace, revision)
    pods = min(serving, running.most)
    grows = 0 < running.wanted < pods
    if grows:
        deployment: Object = {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": service_name(revision), "namespace": namespace},
        }
        api.patch(deployment, {"spec": {"replicas": pods}}, "scale", MANAGER)
    return grows


def await_complete(
    api: KubernetesApi, namespace: str, revision: str, progress: Progress, deadline: float, clock: Clock
) -> None:
    """Until all pods of a revision answer. Raises as `prepare`."""
    end, told, since = clock.now() + deadline, "", clock.now()
    while True:
        running = look_patiently(lambda: look(api, namespace, revision), end, clock)
        now = clock.now()
        if running.complete:
            return
        if not running.exists or running.stopped:
            raise Unhealthy(f"{revision} is {'stopped' if running.exists else 'gone'}")
        words = (
            running.trouble
            or running.awaited
            or f"{running.available} of {running.wanted or '?'} pods answer"
        )
        if words != told:
            told = words
            progress.note(f"{revision}: {words}")
        since = since if running.trouble else now
        if running.hopeless or now - since > PATIENCE:
            raise failure_of(revision, running)
        if now + PAUSE > end:
            what = f"{revision} is not ready after {deadline:g} s: {words}"
            raise Unhealthy(
                what, hint="give it longer with rollout.deadline_minutes; `ecomdeploy up` goes on from here"
            )
        clock.sleep(PAUSE)


def failure_of(revision: str, running: RevisionState) -> EcomdeployError:
    """Why a revision's pods do not come: the release's fault, or the cluster's own."""
    if running.shortage:
        return CloudRefused(
            running.trouble, hint="another serve.instance, or more nodes; then: ecomdeploy up"
        )
    return Unhealthy(f"{revision} does not start: {running.trouble}", hint="ecomdeploy logs")


def may_move(api: KubernetesApi, namespace: str, endpoint: str, revision: str) -> bool:
    """Whether there is anything to move; False when all weight is on that revision.

    Raises:
        EcomdeployError: no such endpoint. Unhealthy: nothing of the revision answers.
    """
    way = find_way(api, namespace, endpoint)
    if way is None:
        raise EcomdeployError(f"there is no endpoint {endpoint}", hint="ecomdeploy up makes it")
    if set(way.weights) == {revision}:
        return False
    running = look(api, namespace, revision)
    if not running.available:
        raise Unhealthy(f"no pod of {revision} answers" + (f": {running.trouble}" if running.trouble else ""))
    return True


def shift(api: KubernetesApi, namespace: str, endpoint: str, revision: str) -> bool:
    """Put all weight on a revision at once; False when it is there already. Raises as `may_move`."""
    if not may_move(api, namespace, endpoint, revision):
        return False
    wanted = {
        "apiVersion": ROUTE,
        "kind": ROUTE_KIND,
        "metadata": {"name": endpoint, "namespace": namespace},
        "spec": {"rules": rules({revision: 100})},
    }
    api.apply(wanted, MANAGER, force=True)
    return True


def wait(
    api: KubernetesApi,
    namespace: str,
    endpoint: str,
    revision: str,
    progress: Progress,
    deadline: float,
    clock: Clock,
) -> Observation:
    """Until the endpoint serves from that revision. Raises as `prepare`, and Unhealthy when it is elsewhere."""
    end, elsewhere = clock.now() + deadline, 0
    await_complete(api, namespace, revision, progress, deadline, clock)
    while True:
        seen = look_patiently(lambda: observe(api, namespace, endpoint), end, clock)
        if seen.phase is Phase.SERVING and seen.revision == revision:
            return seen
        if seen.phase is Phase.ABSENT:
            raise Unhealthy(f"endpoint {endpoint} is gone")
        why = f": {seen.failure}" if seen.failure else ""
        elsewhere += seen.revision != revision
        if elsewhere >= LOOKS_ELSEWHERE:
            raise Unhealthy(f"{endpoint} is on {seen.revision or 'several releases'}, not on {revision}{why}")
        if clock.now() + PAUSE > end:
            raise Unhealthy(f"endpoint {endpoint}: {seen.status} after {deadline:g} s{why}")
        clock.sleep(PAUSE)
