"""The local cloud's process: two loopback ports, the account behind them, its snapshots, its end."""

from __future__ import annotations

import gc
import os
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from infra.rehearsal.cloud.addresses import LOOPBACK, Identity, Ports
from infra.rehearsal.cloud.aws.account import Account
from infra.rehearsal.cloud.aws.calls import ApiError
from infra.rehearsal.cloud.aws.pace import PACE, VARIABLE, CloudClock, describe_pace, read_pace
from infra.rehearsal.cloud.aws.sagemaker_runtime.invocations import Invocations
from infra.rehearsal.cloud.aws.sagemaker_runtime.signed_head import OwnersSignatures
from infra.rehearsal.cloud.aws.signatures import Signatures, find_given
from infra.rehearsal.cloud.aws.watching.invocation_metrics import InvocationMetrics
from infra.rehearsal.cloud.daemon import snapshot
from infra.rehearsal.cloud.daemon.admin import Admin
from infra.rehearsal.cloud.daemon.app import AwsApi, OwnRegistry
from infra.rehearsal.cloud.daemon.clusters import LocalClusters
from infra.rehearsal.cloud.daemon.generation import Generation
from infra.rehearsal.cloud.daemon.invocation_loop import InvocationLoop, give_invocations
from infra.rehearsal.cloud.daemon.loopback import LARGEST_CALL, listen
from infra.rehearsal.cloud.daemon.process import Folder
from infra.rehearsal.cloud.daemon.tokens import TOKENS, TokenReviews
from infra.rehearsal.cloud.kubernetes.local import LocalKubernetes
from infra.rehearsal.cloud.kubernetes.parts import Images
from infra.rehearsal.cloud.kubernetes.places import KubernetesPlaces
from infra.rehearsal.cloud.registry.registry import RegistryServer
from infra.rehearsal.cloud.servers.host import Host
from infra.rehearsal.cloud.signals import hear_signals
from infra.rehearsal.cloud.sources import name_sources
from modelpack.home import write_atomically

HostFactory = Callable[[Any, str], Host]
"""Folder for unpacked images and logs, the registry's host:port -> what runs model servers."""
SETTLE_SECONDS = 1.0
"""The snapshot is at most this and its own duration old."""
THREADS = 24


class Daemon:
    """One per folder. `run` returns when it is asked to stop."""

    def __init__(
        self,
        folder: Folder,
        ports: Ports,
        host: HostFactory,
        cache: Path | None = None,
        settle: float = SETTLE_SECONDS,
    ) -> None:
        """`cache`: where the control plane's binaries are kept; None: nowhere. `settle`: seconds that a change waits
        for others before the snapshot is written."""
        self.settle = settle
        self.folder = folder
        self.ports = ports
        self.began = time.monotonic()
        self.code = name_sources()
        self.ready = threading.Event()
        self.ending = threading.Event()
        self.notes: list[str] = []
        self._writing = threading.RLock()
        """Taken before the account's lock: an older snapshot must not be written over a newer one."""
        self.unkept: tuple[str, ...] = ()
        """What is not in the last snapshot, in words."""
        clock = CloudClock(usual=read_pace(os.environ.get(VARIABLE) or PACE))
        self.invocations = Invocations(metrics=InvocationMetrics(clock))
        self.generation = Generation(folder.root / "generation.json")
        self._read_back = snapshot.ReadBack()
        images = Images(registry=f"{LOOPBACK}:{ports.registry}", blobs=folder.registry)
        logins = f"{ports.aws_url}{TOKENS}{folder.secret('tokens')}"
        self.kubernetes = LocalKubernetes(KubernetesPlaces(folder.kubernetes), images, logins=logins)
        self._clusters = LocalClusters(self.kubernetes, cache)
        self._make_host = host
        self._account: Account | None = None

    @property
    def account(self) -> Account:
        assert self._account is not None, "only while it runs"
        return self._account

    def run(self, started: Callable[[], None]) -> int:
        """Serve until SIGTERM, SIGINT or the stop call. Exit status 1 when it cannot start."""
        with self.folder.lock("daemon.lock", wait=False) as alone:
            if not alone:
                _say("another daemon runs here")
                return 1
            host = self._make_host(self.folder.models, f"{LOOPBACK}:{self.ports.registry}")
            self.invocations.connect = host.connect
            self._account = Account(
                self.ports, self.invocations, self._registry, host, self.folder.registry_login, self._clusters
            )
            try:
                self._serve()
            except OSError as error:
                _say(f"cannot listen on {self.ports.aws} and {self.ports.registry} of {LOOPBACK}: {error}")
                return 1
            hear_signals(self.ending)
            identity = Identity.of(os.getpid())
            assert identity is not None, "this process"
            self.folder.keep_daemon(identity)
            started()
            self.kubernetes.resume()
            threading.Thread(target=self._restore, name="restore", daemon=True).start()
            self.ending.wait()
            self._end()
        return 0

    # ---- serving ----

    def _registry(self, account: Account) -> RegistryServer:
        from infra.rehearsal.cloud.aws.overlay.ecr import EcrRepositories

        return RegistryServer(self.folder.registry, EcrRepositories(account))

    def _serve(self) -> None:
        secret = self.folder.secret("admin")
        admin = Admin(
            account=self.account,
            health=self.health,
            status=self.status,
            stop=self.ending.set,
            renewed=self.generation.renew,
            kubernetes=self.kubernetes,
            secret=secret,
        )
        signatures = Signatures(self.folder.secret("aws"), self._find_secret)
        tokens = TokenReviews(self.account, signatures, self.folder.secret("tokens"))
        aws = AwsApi(self.account, self.invocations, admin, self.ready, signatures, tokens)
        calls = listen(aws, self.ports.aws, THREADS, LARGEST_CALL)
        give_invocations(
            calls,
            InvocationLoop(
                self.invocations, OwnersSignatures(self.folder.secret("aws")), self.ready, LARGEST_CALL
            ),
        )
        login = self.folder.secret("registry")
        registry = OwnRegistry(self.account.registry, self.account.counts, self.ready, login)
        for server in (calls, listen(registry, self.ports.registry)):
            _run(server)

    def _find_secret(self, key: str) -> str | None:
        """The secret key of an access key that the account gave out."""
        if not self.ready.is_set():
            raise ApiError("ServiceUnavailable", "the local cloud is starting", 503)
        with self.account.lock:
            return find_given(key)

    def health(self) -> dict[str, Any]:
        """What clients ask before anything else; answers also while endpoints come back."""
        return {
            "ready": self.ready.is_set() and not self.ending.is_set(),
            "ending": self.ending.is_set(),
            "pid": os.getpid(),
            "aws_port": self.ports.aws,
            "registry_port": self.ports.registry,
            "isolation": self.account.host.isolation,
            "generation": self.generation.id,
            "pace": self.account.clock.pace,
            "code": self.code,
        }

    def status(self) -> dict[str, Any]:
        """What `cloud status` shows. Ages and durations in seconds."""
        age = snapshot.age(self.folder.snapshot)
        counts = self.account.counts.as_data()
        return {
            "aws_url": self.ports.aws_url,
            "registry_url": self.ports.registry_url,
            "pid": os.getpid(),
            "ready": self.ready.is_set(),
            "up_s": round(time.monotonic() - self.began, 1),
            "state": str(self.folder.root),
            "snapshot_age_s": None if age is None else round(age, 1),
            "isolation": self.account.host.isolation,
            "pace": self.account.clock.pace,
            "waits": describe_pace(self.account.clock.pace),
            "endpoints": [],
            "images": [],
            **self.account.status(),
            "calls": {name: counts[name] for name in ("mutating", "reading")},
            "kubernetes": self.kubernetes.state,
            "faults": self.account.faults.as_data(),
            "notes": [*self.notes, *self.unkept],
        }

    # ---- state ----

    def _restore(self) -> None:
        for unfinished in self.folder.root.glob(f".{self.folder.snapshot.name}.*"):
            unfinished.unlink(missing_ok=True)
        whole = True
        gc.disable()  # nothing of what is loaded now is ever garbage: half a second of looking for some
        try:
            self.account.load_moto()
            self.account.state.update(snapshot.load(self.folder.snapshot, self.folder.secret("snapshot")))
            if os.environ.get(VARIABLE):  # what it was started with stands above what was set before
                self.account.state.pop("pace", None)
            self.account.restore()
        except snapshot.UnusableSnapshot as unfit:
            whole = False
            self.notes.append(f"started empty: {unfit}; the old file lies beside it")
            _say(self.notes[-1])
        except Exception as error:
            whole = False
            self.notes.append(f"not everything came back: {error}")
            traceback.print_exc()
        gc.freeze()
        gc.enable()
        self.generation.begin(whole)
        self.notes += [f"lost when it last ended: {words}" for words in self.generation.lost]
        self.ready.set()
        self._snapshots()

    def _snapshots(self) -> None:
        """Write a snapshot whenever something changed; asleep otherwise."""
        while True:
            self.account.changed.wait()
            time.sleep(self.settle)
            self._snapshot()

    def _snapshot(self) -> None:
        """Write one. What it could not keep, or that there is none, stands in `unkept` and in the log."""
        with self._writing:
            if self.account.closing:
                return
            self.account.changed.clear()
            try:
                key = self.folder.secret("snapshot")
                dumped = snapshot.dump(self.account.keep(), key, self.account.lock, self._read_back)
                write_atomically(self.folder.snapshot, dumped.data, private=True)
                unkept = tuple(f"cannot be kept: {words}" for words in dumped.left_out)
            except Exception as error:  # whatever it is, the next one is tried, and the reason is told
                traceback.print_exc()
                unkept = (f"everything since the last snapshot that was written: {error}",)
            for words in set(unkept) - set(self.unkept):
                _say(words)
            self.unkept = unkept

    def _end(self) -> None:
        """The exact state, then the servers; new calls are turned away."""
        _say("stopping")
        self.ready.set()
        with self._writing, self.account.lock:
            self._read_back = snapshot.ReadBack()
            self._snapshot()
            self.generation.end(self.unkept)
            self.account.closing = True
        self.account.ending.set()
        self.account.close_overlays()
        self.kubernetes.stop()
        self.account.host.stop_all()
        self.folder.keep_daemon(None)


def _run(server: Any) -> None:
    threading.Thread(target=server.run, name=f"port {server.effective_port}", daemon=True).start()


def _say(line: str) -> None:
    print(time.strftime("%Y-%m-%dT%H:%M:%S"), line, flush=True)
