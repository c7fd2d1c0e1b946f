"""The head of an InvokeEndpoint whose signature is right, told without botocore.

It only says yes. Whatever is not plainly right is `signatures.py`'s, whose judge is botocore's own signer; a property
test holds that nothing is taken here that is not taken there.
Source: docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html.
"""

from __future__ import annotations

import hashlib
import hmac
from calendar import timegm
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from time import strptime, time

from infra.rehearsal.cloud.addresses import ACCESS_KEY
from infra.rehearsal.cloud.aws.signatures import FORM, HEADER, SCOPE, TIME, USUAL_SKEW_MINUTES

ALGORITHM = "AWS4-HMAC-SHA256"
SERVICE = "sagemaker"
MOST_KEYS = 16


def _write_canonically(names: Sequence[str], headers: Mapping[str, str]) -> list[str] | None:
    """A line for each header that is signed; None where how it is to be written takes thought."""
    if list(names) != sorted(set(names)) or any(
        not value.isascii() or value != " ".join(value.split())
        for value in (headers.get(name, "\t") for name in names)
    ):
        return None
    return [f"{name}:{headers[name]}" for name in names]


@dataclass
class OwnersSignatures:
    """By the owner's `secret` alone. `clock`: seconds since the epoch."""

    secret: str = field(repr=False)
    clock: Callable[[], float] = time
    _keys: dict[tuple[str, str], bytes] = field(default_factory=dict, repr=False)
    """The day's signing keys."""
    _times: dict[str, int] = field(default_factory=dict, repr=False)

    def region(self, path: str, headers: Mapping[str, str], body: bytes) -> str | None:
        """The region that a POST to `path` is signed for; None: it is not signed, or somebody else is to say. `path` is
        of letters, digits, - and / alone; `headers` by their names in lower case."""
        claimed = HEADER.fullmatch(headers.get("authorization", ""))
        scope = SCOPE.fullmatch(claimed["credential"]) if claimed else None
        if claimed is None or scope is None or scope["key"] != ACCESS_KEY or scope["service"] != SERVICE:
            return None
        when = headers.get("x-amz-date", "")
        if not when.startswith(scope["day"]) or not self._is_near(when):
            return None
        digest = hashlib.sha256(body).hexdigest()
        if headers.get("x-amz-content-sha256", digest) != digest:
            return None
        lines = _write_canonically(claimed["headers"].split(";"), headers)
        if lines is None:
            return None
        canonical = "\n".join(["POST", path, "", *lines, "", claimed["headers"], digest])
        place = claimed["credential"].partition("/")[2]
        told = "\n".join([ALGORITHM, when, place, hashlib.sha256(canonical.encode()).hexdigest()])
        key = self._key(scope["day"], scope["region"])
        right = hmac.new(key, told.encode(), "sha256").hexdigest()
        return scope["region"] if hmac.compare_digest(right, claimed["signature"]) else None

    def _key(self, day: str, region: str) -> bytes:
        if (day, region) not in self._keys:
            if len(self._keys) >= MOST_KEYS:
                self._keys.clear()
            key = f"AWS4{self.secret}".encode()
            for part in (day, region, SERVICE, "aws4_request"):
                key = hmac.new(key, part.encode(), "sha256").digest()
            self._keys[day, region] = key
        return self._keys[day, region]

    def _is_near(self, when: str) -> bool:
        at = self._times.get(when)
        if at is None:
            try:
                at = timegm(strptime(when if TIME.fullmatch(when) else "", FORM))
            except ValueError:
                return False
            if len(self._times) >= MOST_KEYS:
                self._times.clear()
            self._times[when] = at
        return abs(self.clock() - at) <= 60 * USUAL_SKEW_MINUTES
