"""What an add-on is to the local Kubernetes: real programs beside it that are optional."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from infra.kubernetes.client import KubernetesClient, Object
from infra.rehearsal.cloud.kubernetes.addons.source import AddonSource
from infra.rehearsal.cloud.kubernetes.places import KubernetesPlaces, KubernetesPorts
from infra.rehearsal.cloud.kubernetes.processes import Program


@dataclass(frozen=True, kw_only=True)
class Addon:
    """`programs` of an install's folder, in the order in which they start, what they read written first; `objects` that
    they need; `answers`: whether they do their work; `orphans`: of the objects, what is in everybody's way while they
    are away."""

    source: AddonSource
    programs: Callable[[Path, KubernetesPlaces, KubernetesPorts], Sequence[Program]]
    objects: Callable[[KubernetesPlaces, KubernetesPorts], Sequence[Object]]
    answers: Callable[[KubernetesClient, KubernetesPorts], bool]
    orphans: tuple[Object, ...] = ()
