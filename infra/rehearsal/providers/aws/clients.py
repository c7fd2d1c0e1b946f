"""AWS clients that can only reach this machine: one botocore session, clients made when first needed."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from infra.rehearsal.engine.provider import ProviderError

CONFIGURATION = frozenset(
    {
        *("region", "accessKey", "secretKey", "token", "profile", "allowedAccountIds"),
        *("defaultTags", "endpoints", "maxRetries", "s3UsePathStyle", "version", "skipCredentialsValidation"),
        *("skipMetadataApiCheck", "skipRegionValidation", "skipRequestingAccountId"),
    }
)
"""What of a provider's configuration is understood."""
REFUSAL = "the embedded engine refuses a real AWS account: use the Pulumi CLI"


def loopback(url: str) -> bool:
    """Whether the URL's host is this machine, written as an address or as `localhost`."""
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


@dataclass
class Sessions:
    """The botocore session that all accounts share, and its clients. `loader` holds the services' models: another
    session's, which has read some already, or None."""

    loader: Any = None
    _clients: dict[tuple[Any, ...], Any] = field(default_factory=dict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @cached_property
    def _session(self) -> Any:
        import botocore.session

        # Nothing of the user's AWS files, profiles or process environment may reach these clients.
        nothing = (None, None, None, None)
        files = (None, None, "/dev/null", None)
        session = botocore.session.Session(
            session_vars={"profile": nothing, "config_file": files, "credentials_file": files}
        )
        if self.loader is not None:
            session.register_component("data_loader", self.loader)
        return session

    def client(self, service: str, region: str, endpoint: str, credentials: tuple[str, str]) -> Any:
        """The client of a service in one place with these keys, made when first asked for. botocore's session is not
        safe to use from two threads; its clients are."""
        key = (service, region, endpoint, credentials)
        with self._lock:
            if key not in self._clients:
                self._clients[key] = self.make(service, region, endpoint, credentials)
            return self._clients[key]

    def make(self, service: str, region: str, endpoint: str, credentials: tuple[str, str]) -> Any:
        """A new one; `_lock` is held. Raises `ProviderError` where it would leave this machine."""
        from botocore.config import Config

        if not loopback(endpoint):
            raise ProviderError("RealAccount", f"{REFUSAL} (endpoint {endpoint or 'not set'} for {service})")
        config = Config(
            proxies={},
            retries={"mode": "standard", "total_max_attempts": 3},
            read_timeout=60,
            s3={"addressing_style": "path"},
            ignore_configured_endpoint_urls=True,
        )
        return self._session.create_client(
            service,
            region_name=region,
            endpoint_url=endpoint,
            aws_access_key_id=credentials[0],
            aws_secret_access_key=credentials[1],
            config=config,
        )


@dataclass
class AwsClient:
    """One configured provider's way to the cloud: a region, its endpoints and keys."""

    sessions: Sessions
    region: str
    endpoint: str
    endpoints: Mapping[str, str] = field(default_factory=dict)
    credentials: tuple[str, str] = ("local", "local")
    partition: str = "aws"
    _clients: dict[str, Any] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def client(self, service: str) -> Any:
        """The boto client of a service ("ec2")."""
        with self._lock:
            if service not in self._clients:
                endpoint = self.endpoints.get(service.replace("-", ""), self.endpoint)
                self._clients[service] = self.sessions.client(
                    service, self.region, endpoint, self.credentials
                )
            return self._clients[service]

    @cached_property
    def caller(self) -> dict[str, str]:
        """STS GetCallerIdentity, asked once: `Account`, `Arn`, `UserId`."""
        return dict(self.client("sts").get_caller_identity())

    @property
    def id(self) -> str:
        return self.caller["Account"]

    def arn(self, service: str, resource: str) -> str:
        """The ARN of a regional resource of this account."""
        return f"arn:{self.partition}:{service}:{self.region}:{self.id}:{resource}"
