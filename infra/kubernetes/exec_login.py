"""The token that a kubeconfig's `exec` program gives (kubelogin, gke-gcloud-auth-plugin, `aws eks get-token`).

https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins: the program is
asked when there is no token yet and when the API server no longer takes the one there is, and is told of the cluster.
lightkube's own way knows no v1 of the protocol, and tells it nothing.
"""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Generator, Mapping
from typing import Any

import httpx2

from infra.kubernetes import eks_login
from modelpack.errors import CloudRefused

VERSIONS = ("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1")
SECONDS = 120


class ExecLogin(httpx2.Auth):
    """`program`: lightkube's UserExec; `cluster`: what the program may know of the API server; `variables`: what it is
    started with beside its own."""

    def __init__(self, program: Any, cluster: dict[str, str], variables: Mapping[str, str]) -> None:
        self._program, self._cluster, self._around = program, cluster, variables
        self._token = ""
        self._lock = threading.Lock()

    def sync_auth_flow(self, request: httpx2.Request) -> Generator[httpx2.Request, httpx2.Response, None]:
        used = self._token
        if used:
            request.headers["Authorization"] = f"Bearer {used}"
            answer = yield request
            if answer.status_code != 401:
                return
        with self._lock:
            if self._token == used:  # nobody else has asked meanwhile
                self._token = self._ask()
        request.headers["Authorization"] = f"Bearer {self._token}"
        yield request

    def _ask(self) -> str:
        """Raises CloudRefused: it gives none."""
        program, version = self._program, str(self._program.apiVersion)
        if version not in VERSIONS:
            raise CloudRefused(
                f"kubeconfig: {program.command} speaks {version}", hint=f"known: {', '.join(VERSIONS)}"
            )
        told = {"interactive": False, "cluster": self._cluster}
        info = {"kind": "ExecCredential", "apiVersion": version, "spec": told}
        variables = {one.name: one.value for one in program.env or ()}
        if asked := eks_login.asked_of(program.command, program.args or ()):
            return eks_login.give_token(asked, {**self._around, **variables})
        try:
            done = subprocess.run(
                [program.command, *(program.args or ())],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
                timeout=SECONDS,
                env={**self._around, **variables, "KUBERNETES_EXEC_INFO": json.dumps(info)},
            )
        except (OSError, subprocess.SubprocessError) as error:
            hint = program.installHint or f"install {program.command}, or log in anew"
            raise CloudRefused(f"kubeconfig: {program.command} does not run: {error}", hint=hint) from error
        if done.returncode:
            words = done.stderr.strip()[-400:]
            raise CloudRefused(f"kubeconfig: {program.command} gives no token: {words}", hint="log in again")
        try:
            return str(json.loads(done.stdout)["status"]["token"])
        except (ValueError, KeyError, TypeError) as error:
            what = f"kubeconfig: what {program.command} says has no token ({type(error).__name__})"
            raise CloudRefused(
                what, hint="programs that give certificates are not understood here"
            ) from error
