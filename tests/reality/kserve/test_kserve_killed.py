"""kill -9 of our KServe stand-in in the middle of a change: while it is away nothing is admitted, as with KServe's own
program (recording f3); the next one brings everything to the same end."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from waiting import wait_for

from infra.kubernetes.client import KubernetesRefused
from infra.rehearsal.cloud.kubernetes.kserve.words import API_VERSION, KIND
from tests.kubernetes_cluster import Cluster
from tests.reality.kserve.pods import PretendedNodes
from tests.reality.kserve.recordings import recording
from tests.reality.kserve.replay import asked_change, create, is_served, unlike, until_alike

pytestmark = [pytest.mark.kubernetes, pytest.mark.slow]


def test_a_killed_stand_in_comes_back_to_the_same_end(
    cluster: Cluster, namespace: str, nodes: PretendedNodes
) -> None:
    command = [sys.executable, "-m", "infra.rehearsal.cloud.kubernetes.kserve"]
    command += ["--root", str(cluster.places.root), "--routes", "ingress"]
    client, found = cluster.client, recording("d2")
    steps = found["steps"]
    home = Path(__file__).parents[3]
    with subprocess.Popen(command, cwd=home) as first:
        try:
            wait_for(lambda: is_served(client))
            create(client, found["input"], namespace)
            assert not until_alike(lambda: unlike(client, namespace, steps[0], set()))
            isvc = client.get(API_VERSION, KIND, "churn", namespace)
            assert isvc is not None
            change = asked_change(steps[0]["stored"], steps[1]["stored"])
            client.patch(isvc, change)
        finally:
            first.kill()
    with pytest.raises(KubernetesRefused) as refused:
        client.patch(isvc, {"spec": {"predictor": {"maxReplicas": 9}}})
    assert refused.value.status == 500
    assert "failed calling webhook" in str(refused.value)
    with subprocess.Popen(command, cwd=home) as second:
        try:
            assert not until_alike(lambda: unlike(client, namespace, steps[1], set()))
        finally:
            second.terminate()
    assert second.returncode == 0
