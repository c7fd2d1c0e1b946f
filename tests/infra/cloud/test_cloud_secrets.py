"""The local cloud hands a server its secrets past environment and command line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from infra.rehearsal.cloud.addresses import ACCOUNT
from infra.rehearsal.cloud.aws.secrets import look_up
from infra.rehearsal.cloud.servers.host import ServerFailed
from infra.rehearsal.cloud.servers.isolation import LAUNCHER

SERVER = """
import os, sys
sys.path.insert(0, sys.argv[1])
from modelpack.server.secrets import reveal
found = reveal(os.environ)
os.environ.update(found)
shown = [open(f"/proc/{pid}/{name}").read() for pid in ("self", os.getppid()) for name in ("environ", "cmdline")]
print(found["KEY"] == os.environ["KEY"] == sys.argv[2][::-1], any(found["KEY"] in one for one in shown))
print(sorted(os.listdir("/proc/self/fd")))
"""
PLANTED = "planted-5ec4e7"


def test_a_server_gets_its_secrets_and_proc_shows_none(repository: Path) -> None:
    import socket

    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    plan = {
        "argv": [sys.executable, "-I", "-B", "-c", SERVER, str(repository), PLANTED[::-1]],
        "environment": {"ECOMDEPLOY_SECRET_KEY": "ssm:/shop/key"},
        "secrets": {"KEY": PLANTED},
        "directory": "/",
        "root": None,
        "user": None,
        "namespaces": False,
        "become": False,
        "proc": False,
        "control": theirs.fileno(),
    }
    with ours, theirs:
        done = subprocess.run(
            LAUNCHER,
            input=json.dumps(plan).encode(),
            capture_output=True,
            pass_fds=(theirs.fileno(),),
            env={},
            check=False,
        )
    assert done.returncode == 0, done.stderr
    right, open_files = done.stdout.decode().splitlines()
    assert right == "True False"
    assert len(open_files.split(",")) <= 4, "the file with the secrets is closed"


def test_references_are_looked_up_in_the_account() -> None:
    from moto.secretsmanager.models import secretsmanager_backends
    from moto.ssm.models import ssm_backends

    region = "eu-west-3"
    ssm, secrets = ssm_backends[ACCOUNT][region], secretsmanager_backends[ACCOUNT][region]
    for name, kind in (("/shop/secure", "SecureString"), ("/shop/plain", "String")):
        ssm.put_parameter(name, "", PLANTED + name, kind, "", "", False, [], "text", None, None)
    secrets.create_secret("shop/key", PLANTED, None, None, [], None, None, None, False)
    given = {
        "ECOMDEPLOY_SECRET_A": "ssm:/shop/secure",
        "ECOMDEPLOY_SECRET_B": "ssm:/shop/plain",
        "ECOMDEPLOY_SECRET_C": "secretsmanager:shop/key",
        "PLAIN": "ssm:/shop/plain",
    }
    wanted = {"A": f"{PLANTED}/shop/secure", "B": f"{PLANTED}/shop/plain", "C": PLANTED}
    assert look_up(given, region) == wanted
    for lost in ("ssm:/gone", "secretsmanager:gone", "vault:/x", "ssm:"):
        with pytest.raises(ServerFailed, match="the secret of A is not there"):
            look_up({"ECOMDEPLOY_SECRET_A": lost}, region)
