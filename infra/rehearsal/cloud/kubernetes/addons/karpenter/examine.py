"""The local cloud's answer to a platform with pools of Karpenter's: what this machine lacks for them."""

from __future__ import annotations

import os
from collections.abc import Mapping

from infra.preflight.base import Lack, Looked
from infra.rehearsal.cloud.kubernetes import binaries
from infra.rehearsal.cloud.kubernetes.addons.source import KARPENTER
from infra.spec import PlatformSpec
from modelpack.home import Home

SWITCH, OFF = "ECOMDEPLOY_LOCAL_EKS", "records"
"""daemon/clusters.py has the same."""


def examine_karpenter(
    home: Home, wanted: PlatformSpec, variables: Mapping[str, str] = os.environ
) -> tuple[Looked, ...]:
    """Its objects are real ones, so that they take a real control plane, and Karpenter itself."""
    if not any(pool.is_karpenters for pool in wanted.gpu_pools):
        return ()
    what = "gpu_pools of by: karpenter take {}, and there is none here".format
    lacks = []
    if variables.get(SWITCH) == OFF:
        lacks.append(
            Lack(what=f"{SWITCH}={OFF} leaves clusters records, which have no pods", hint=f"unset {SWITCH}")
        )
    if binaries.find(home.cache, variables) is None:
        lacks.append(Lack(what=what("a control plane"), hint=binaries.INSTALL))
    if KARPENTER.find(home.cache) is None:
        lacks.append(Lack(what=what(KARPENTER.title), hint=KARPENTER.hint))
    return (Looked("karpenter", tuple(lacks)),)
