"""What the emulated EKS needs of a Kubernetes that one of its clusters can be; daemon/clusters.py has one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

Object = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class ClusterEndpoint:
    """`address`: "https://127.0.0.1:PORT"; `authority`: who signs its certificate, PEM in base64."""

    address: str
    authority: str


class ClusterGround(Protocol):
    """Calls may take their time: only `why_not`, `state` and `endpoint` are made under the account's lock."""

    def why_not(self) -> str:
        """Why no cluster can be a real one here, with what to type; "" where it can."""
        ...

    @property
    def state(self) -> tuple[Literal["stopped", "starting", "ready", "failed"], str]:
        """How far it is, and the reason where it failed."""
        ...

    def begin(self) -> None:
        """Bring it up, unless it runs. Raises EcomdeployError."""
        ...

    def endpoint(self) -> ClusterEndpoint:
        """Where it answers. Raises FileNotFoundError before it was ever up."""
        ...

    def nodes(self) -> Sequence[Object]:
        """Those that node groups made. Raises EcomdeployError while it does not answer."""
        ...

    def add(self, node: Object) -> None:
        """A machine that has booted."""
        ...

    def change(self, name: str, labels: Object, taints: Sequence[Object]) -> None:
        """Labels (None: gone) and taints of a node."""
        ...

    def drain(self, name: str) -> None:
        """Evict its pods, by their budgets for a while, and take it away."""
        ...

    def hold(self, held: bool) -> None:
        """Whether nodes are a cluster's now: the laptop's own takes no new pods then."""
        ...

    def run(self, controller: str) -> None:
        """Have that controller ("karpenter") at work in it, where it is installed. Raises EcomdeployError."""
        ...

    def end(self) -> None:
        """End it with everything in it."""
        ...
