"""The daemon's own API under /_ecomdeploy/ (JSON), for its owner: health, status, counts, faults, quotas, pace, reset,
stop."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infra.rehearsal.cloud.aws.account import Account
from infra.rehearsal.cloud.aws.calls import Environ, HttpResponse, body
from infra.rehearsal.cloud.aws.faults import Fault
from infra.rehearsal.cloud.aws.pace import read_pace
from infra.rehearsal.cloud.aws.quotas import set_quota
from infra.rehearsal.cloud.daemon.callers import bears
from infra.rehearsal.cloud.kubernetes.local import LocalKubernetes, StartRequest
from modelpack.errors import BadInput

PREFIX = "/_ecomdeploy/"


@dataclass(frozen=True)
class Admin:
    """`health` and `status` are told by the daemon; `stop` only asks it to end; `renewed`: the account is new;
    `secret` is what a caller must bear."""

    account: Account
    health: Callable[[], dict[str, Any]]
    status: Callable[[], dict[str, Any]]
    stop: Callable[[], None]
    renewed: Callable[[], None]
    kubernetes: LocalKubernetes
    secret: str = field(repr=False)

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        return HttpResponse.with_json(*self._judge(environ)).send(start_response)

    def _judge(self, environ: Environ) -> tuple[str, dict[str, Any]]:
        """The status and the document."""
        if not bears(environ, self.secret):
            return "403 Forbidden", {"error": "only its owner may ask the local cloud"}
        what = environ["PATH_INFO"].removeprefix(PREFIX)
        try:
            return "200 OK", self._answer(environ["REQUEST_METHOD"], what, environ)
        except BadInput as problem:
            return "400 Bad Request", {"error": str(problem), "hint": problem.hint}
        except LookupError:
            return "404 Not Found", {"error": f"no such path: {PREFIX}{what}"}

    def _answer(self, method: str, what: str, environ: Environ) -> dict[str, Any]:
        # A web page can send neither this content type nor DELETE here without asking first, and is never allowed to.
        if method != "GET" and not environ.get("CONTENT_TYPE", "").startswith("application/json"):
            raise BadInput("send application/json")
        match method, what:
            case "GET", "health":
                return self.health()
            case "GET", "status":
                return self.status()
            case "GET", "counts":
                return self.account.counts.as_data()
            case "POST", "faults":
                self.account.faults.plant(Fault.read(_object(environ)))
            case "DELETE", "faults":
                self.account.faults.clear()
            case "POST", "quotas":
                return set_quota(self.account, _object(environ))
            case "POST", "pace":
                self.account.set_pace(read_pace(_object(environ).get("pace")))
            case "POST", "reset":
                self.kubernetes.reset()
                self.account.reset()
                self.renewed()
            case "GET", "kubernetes":
                return self.kubernetes.status()
            case "POST", "kubernetes/start":
                self.kubernetes.start(_request(environ))
                return self.kubernetes.status()
            case "POST", "kubernetes/addon":
                self.kubernetes.add_addon(*_addon(environ))
                return self.kubernetes.status()
            case "POST", "kubernetes/stop":
                self.kubernetes.forget()
            case "POST", "stop":
                self.stop()
            case _:
                raise LookupError(what)
        return {}


def _request(environ: Environ) -> StartRequest:
    try:
        return StartRequest.read(_object(environ))
    except (KeyError, TypeError) as error:
        raise BadInput(f"not what a start of Kubernetes is asked for with: {error}") from None


def _addon(environ: Environ) -> tuple[str, Path]:
    found = _object(environ)
    name, folder = found.get("name"), found.get("folder")
    if not (isinstance(name, str) and isinstance(folder, str)):
        raise BadInput("not what an add-on is asked for with: name and folder")
    return name, Path(folder)


def _object(environ: Environ) -> dict[str, Any]:
    try:
        found = json.loads(body(environ))
    except ValueError:
        raise BadInput("not JSON") from None
    if not isinstance(found, dict):
        raise BadInput("expected a JSON object")
    return found
