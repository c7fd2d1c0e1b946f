"""One EKS cluster is the local Kubernetes, from its creation to its deletion: its state, and the nodes of its groups.

Which one: the first that is created while none is. The others are records, as all are where there is no Kubernetes.
"""

from __future__ import annotations

import threading
import traceback
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from infra.quotas.catalogue import vcpu_quota
from infra.rehearsal.cloud.aws.calls import ApiError
from infra.rehearsal.cloud.aws.eks_nodes import machines
from infra.rehearsal.cloud.aws.eks_nodes.ground import ClusterGround, Object
from infra.rehearsal.cloud.aws.eks_nodes.machines import BadMachine, Machine
from infra.rehearsal.cloud.aws.eks_state import EksState, Key
from infra.rehearsal.cloud.aws.lifecycle import GONE, Record
from infra.rehearsal.cloud.aws.quotas import WIDE, limit_of
from modelpack.errors import EcomdeployError

if TYPE_CHECKING:
    from infra.rehearsal.cloud.aws.overlay.base import Surroundings

BOOT_SECONDS = 60.0
"""From the launch of a machine until its kubelet tells of it, of AWS's time."""
LONGEST_SECONDS = 600.0
"""After which a state that Kubernetes never ended ends by itself."""
LOOK_SECONDS, RETRY_SECONDS = 0.2, 2.0
CONTROLLERS = {("kube-system", "karpenter"): "karpenter"}
"""By the namespace and service account of its pods on AWS."""
LAUNCH_FAILED = "AsgInstanceLaunchFailures"


class NodeGroups:
    """Its thread lives while a cluster is held. `wake` after every change of the cluster or its groups."""

    def __init__(self, account: Surroundings, state: EksState, ground: ClusterGround) -> None:
        self._account, self._state, self._ground = account, state, ground
        self._woken, self._stopped = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None
        self._booting: dict[str, float] = {}
        """When machines that were launched are there, on the account's clock."""

    # ---- told by the overlay, under the account's lock ----

    def why_not(self) -> str:
        """Why a cluster that is created now is a record alone; "" where it is not."""
        return "another cluster is the local Kubernetes" if self._state.held else self._ground.why_not()

    def take(self, key: Key, record: Record) -> None:
        """A cluster is being created: it is the local Kubernetes, if none is and there can be one."""
        if self._state.held is not None or self._ground.why_not():
            return
        self._state.held = key
        self._state.began = self._ground.state[0] not in ("starting", "ready")
        record.become("CREATING", "FAILED", LONGEST_SECONDS)
        self.wake()

    def holds(self, key: Key) -> bool:
        """Whether it is this cluster's; a node group's key begins with its cluster's."""
        return self._state.held == key[:2]

    def wait_for(self, key: Key, record: Record, state: str, then: str) -> bool:
        """The state lasts until the nodes are so; False where there are no nodes to wait for."""
        if not self.holds(key):
            return False
        record.become(state, then, LONGEST_SECONDS)
        self.wake()
        return True

    def wake(self) -> None:
        """Look again."""
        if self._state.held is None:
            return
        self._woken.set()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="node groups", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._woken.set()

    # ---- the thread ----

    def _run(self) -> None:
        begun = False
        while not self._stopped.is_set():
            self._woken.clear()
            try:
                if not begun:
                    self._begin()
                    begun = True
                pause = self._step()
            except (EcomdeployError, OSError) as problem:
                print(f"node groups: {problem}", flush=True)
                pause = RETRY_SECONDS
            except Exception:  # whatever it is, the next look may see another world
                traceback.print_exc()
                pause = RETRY_SECONDS
            if self._is_over():
                return
            self._woken.wait(pause)

    def _is_over(self) -> bool:
        """Whether no cluster is held any more: the next that is has a thread of its own."""
        with self._account.lock:
            if self._state.held is not None:
                return False
            self._thread = None
            return True

    def _begin(self) -> None:
        try:
            self._ground.begin()
        except EcomdeployError as problem:
            # offline, say: a record, as without Kubernetes
            print(f"node groups: no Kubernetes: {problem}", flush=True)
            with self._account.lock:
                if (held := self._state.held) and (record := self._state.clusters.get(held)):
                    record.become("CREATING", "ACTIVE", 0.0)
                self._state.held = None

    def _step(self) -> float | None:
        """Bring everything one step nearer; how long until the next look (None: until something changes)."""
        with self._account.lock:
            held = self._state.held
            record = self._state.clusters.get(held) if held else None
            if held is None or record is None:
                self._state.held = None
                return None
            word, reason = self._ground.state
            status = record.status
            if status == "CREATING" and word in ("ready", "failed"):
                issue = {"code": "Other", "message": reason, "resourceIds": []}
                record.fields["health"] = {"issues": [issue] if word == "failed" else []}
                self._end_state(record, "ACTIVE" if word == "ready" else "FAILED")
        if status == "DELETING":
            self._leave(record)
            return None
        if word in ("stopped", "failed"):
            self._settle(held)
        if word != "ready":
            return LOOK_SECONDS if word == "starting" else RETRY_SECONDS
        self._ground.hold(True)
        for controller in self._list_controllers(held):
            self._ground.run(controller)
        return self._look_at_groups(held)

    def _list_controllers(self, held: Key) -> list[str]:
        """Those whose pods have a role: on AWS its chart brings one, and here it comes with its association."""
        with self._account.lock:
            accounts = [
                (one.fields["namespace"], one.fields["serviceAccount"])
                for key, one in self._state.identities.items()
                if key[:2] == held
            ]
        return [CONTROLLERS[one] for one in accounts if one in CONTROLLERS]

    def _settle(self, held: Key) -> None:
        """Kubernetes was ended by hand, or failed: what waits for its nodes waits no longer."""
        with self._account.lock:
            for key, record in self._state.groups.items():
                if key[:2] == held and record.status in ("CREATING", "DELETING"):
                    self._end_state(record, GONE if record.status == "DELETING" else "ACTIVE")

    def _leave(self, record: Record) -> None:
        if self._state.began:
            self._ground.end()
        else:
            self._ground.hold(False)
        with self._account.lock:
            self._end_state(record, GONE)
            self._state.held = None

    def _look_at_groups(self, held: Key) -> float | None:
        """Each node group's nodes. A node is launched, taken or told anew where it is not as its group says."""
        with self._account.lock:
            groups = {
                key: (record, {**record.fields, "labels": dict(record.fields["labels"])})
                for key, record in tuple(self._state.groups.items())
                if key[:2] == held and not record.gone
            }
        there: dict[str, list[Object]] = {}
        for node in self._ground.nodes():
            there.setdefault(node["metadata"]["labels"][machines.GROUP], []).append(node)
        settled = True
        for key, (record, fields) in groups.items():
            settled &= self._keep(key, record, fields, there.pop(key[2], []))
        for left in there.values():
            for node in left:
                self._ground.drain(node["metadata"]["name"])
        return None if settled else LOOK_SECONDS

    def _keep(self, key: Key, record: Record, fields: Mapping[str, Any], there: Sequence[Object]) -> bool:
        """True once the group is as it is to be."""
        names = {node["metadata"]["name"]: node for node in there}
        if record.status == "DELETING":
            for name in names:
                self._ground.drain(name)
            with self._account.lock:
                self._end_state(record, GONE)
            return True
        try:
            with self._account.lock:
                wanted = {one.name: one for one in machines.machines(key[0], fields)}
        except (BadMachine, ApiError) as bad:
            self._tell(record, bad.code, str(bad))
            return True
        for name in sorted(set(names) - set(wanted), reverse=True):
            self._ground.drain(name)
            del names[name]
        self._tell_anew(fields, wanted, names)
        self._replace_one(wanted, names)
        issue = self._launch([one for name, one in wanted.items() if name not in names], fields)
        if issue:
            self._tell(record, LAUNCH_FAILED, issue)
            return False
        ready = sum(map(is_ready, names.values()))
        if ready == len(wanted) == len(names):
            self._tell(record)
            return True
        return False

    def _tell_anew(
        self, fields: Mapping[str, Any], wanted: Mapping[str, Machine], there: Mapping[str, Object]
    ) -> None:
        """Labels and taints follow the group's, on nodes that stand too."""
        for name, node in there.items():
            is_now = node["metadata"]["labels"]
            to_be = wanted[name].node["metadata"]["labels"] | {machines.VERSION: is_now.get(machines.VERSION)}
            before = set(str(node["metadata"].get("annotations", {}).get(OWN_LABELS, "")).split())
            change: Object = {one: value for one, value in to_be.items() if is_now.get(one) != value}
            change |= {one: None for one in before - set(fields["labels"]) if one in is_now}
            taints = wanted[name].node["spec"]["taints"]
            own = [one for one in node["spec"].get("taints", ()) if not one["key"].startswith("node.")]
            if change or [_plain(one) for one in own] != [_plain(one) for one in taints]:
                self._ground.change(name, change, taints)

    def _replace_one(self, wanted: Mapping[str, Machine], there: dict[str, Object]) -> None:
        """A node of another version of the launch template is started anew, one at a time."""
        if not all(map(is_ready, there.values())) or set(wanted) - set(there):
            return
        for name, node in there.items():
            if node["metadata"]["labels"].get(machines.VERSION) != _version(wanted[name].node):
                self._ground.drain(name)
                del there[name]
                return

    def _launch(self, missing: Sequence[Machine], fields: Mapping[str, Any]) -> str:
        """Launch what is missing; why it cannot be, or ""."""
        clock = self._account.clock
        for machine in missing:
            if machine.name not in self._booting:
                if why := self._refuse(machine, fields):
                    return why
                self._booting[machine.name] = clock.now() + BOOT_SECONDS
            elif clock.now() >= self._booting[machine.name]:
                node = machine.node
                node["metadata"]["annotations"] = {OWN_LABELS: " ".join(sorted(fields["labels"]))}
                self._ground.add(node)
                del self._booting[machine.name]
        return ""

    def _refuse(self, machine: Machine, fields: Mapping[str, Any]) -> str:
        """Why EC2 launches none: no capacity (planted), or the account's vCPUs are spent."""
        zone = machine.node["metadata"]["labels"]["topology.kubernetes.io/zone"]
        if self._account.faults.strike("capacity", endpoint=machine.group):
            return (
                f"Could not launch instances. InsufficientInstanceCapacity - We currently do not have sufficient "
                f"{machine.instance} capacity in the Availability Zone you requested ({zone}). Launching EC2 instance "
                "failed."
            )
        spot = fields["capacityType"] == "SPOT"
        quota = vcpu_quota(machine.instance, spot=spot)
        if quota is None:
            return ""
        limit = limit_of(self._account, quota.service, quota.code)
        if limit >= WIDE:
            return ""
        used = sum(
            machines.size(node["metadata"]["labels"]["node.kubernetes.io/instance-type"])[0]
            for node in self._ground.nodes()
            if vcpu_quota(
                node["metadata"]["labels"]["node.kubernetes.io/instance-type"],
                spot=node["metadata"]["labels"]["eks.amazonaws.com/capacityType"] == "SPOT",
            )
            == quota
        )
        if used + machines.size(machine.instance)[0] <= limit:
            return ""
        return (
            f"Could not launch instances. VcpuLimitExceeded - You have requested more vCPU capacity than your current "
            f"vCPU limit of {limit:g} allows for the instance bucket that the specified instance type belongs to. "
            "Launching EC2 instance failed."
        )

    def _tell(self, record: Record, code: str = "", words: str = "") -> None:
        """What ails a node group, in its health and its state; "" is that nothing does."""
        with self._account.lock:
            issue = {"code": code, "message": words, "resourceIds": []}
            record.fields["health"] = {"issues": [issue] if code else []}
            status = record.status
            if code:
                failed = code != LAUNCH_FAILED or status == "CREATING"
                bad = "CREATE_FAILED" if failed and status == "CREATING" else "DEGRADED"
                if status in ("CREATING", "UPDATING", "ACTIVE"):
                    self._end_state(record, bad)
            elif status in ("CREATING", "UPDATING", "DEGRADED"):
                self._end_state(record, "ACTIVE")

    def _end_state(self, record: Record, state: str) -> None:
        record.state, record.then = state, ""
        self._account.changed.set()


OWN_LABELS = "ecomdeploy.dev/labels"
"""Which labels of a node are its group's own, so that one that leaves the group leaves the node."""


def is_ready(node: Object) -> bool:
    conditions = (node.get("status") or {}).get("conditions") or ()
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def _plain(taint: Mapping[str, Any]) -> tuple[str, str, str]:
    return taint["key"], str(taint.get("value", "")), taint["effect"]


def _version(node: Object) -> str:
    return str(node["metadata"]["labels"][machines.VERSION])
