"""The local cluster's own authorities and what they sign: made at the first start, kept, readable by this user alone.

Which there are is what a cluster needs: https://kubernetes.io/docs/setup/best-practices/certificates/
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING

from infra.rehearsal.cloud.own_files import claim_folder, read_own
from modelpack.home import write_atomically

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.x509 import Certificate, ExtensionType, GeneralName, Name

AUTHORITY = "ca"
FRONT_PROXY = "front-proxy-ca"
"""Signs who may speak for a user towards an aggregated API: another authority than the users' own."""
STORE = "etcd-ca"
"""Signs who may read and write etcd, below all of the API server's rules: the API server alone."""
VALID = (datetime(2020, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC))
"""From when to when, whatever a clock says that is wrong on the day they are made, or later: they are of one machine,
for itself. The end is RFC 5280's for "no end" (4.1.2.5)."""
MASTERS = "system:masters"


@dataclass(frozen=True, kw_only=True)
class CertificateSpec:
    """A certificate: `names` are DNS names or addresses it serves under, none for one that only clients show."""

    name: str
    authority: str = AUTHORITY
    user: str
    group: str = ""
    names: tuple[str, ...] = ()


SERVICE_ADDRESS = "10.96.0.1"
"""The first of the control plane's service addresses: the Service `kubernetes` itself."""
API_NAMES = ("kubernetes", "kubernetes.default", "kubernetes.default.svc", "localhost", "127.0.0.1")
METRICS_SERVICE = "ecomdeploy-metrics.kube-system.svc"
KEDA_OPERATOR = "keda-operator.keda.svc"
"""The name that KEDA's adapter holds its operator to."""
CERTIFICATES = (
    CertificateSpec(name="apiserver", user="kube-apiserver", names=(*API_NAMES, SERVICE_ADDRESS)),
    CertificateSpec(name="kubelet-client", user="kube-apiserver-kubelet-client", group=MASTERS),
    CertificateSpec(name="front-proxy-client", authority=FRONT_PROXY, user="front-proxy-client"),
    CertificateSpec(name="etcd", authority=STORE, user="etcd", names=("localhost", "127.0.0.1")),
    CertificateSpec(name="etcd-client", authority=STORE, user="kube-apiserver"),
    CertificateSpec(
        name="controllers", user="system:kube-controller-manager", names=("localhost", "127.0.0.1")
    ),
    CertificateSpec(name="scheduler", user="system:kube-scheduler", names=("localhost", "127.0.0.1")),
    CertificateSpec(name="admin", user="admin", group=MASTERS),
    CertificateSpec(
        name="kubelet", user="system:node:local", group="system:nodes", names=("localhost", "127.0.0.1")
    ),
    CertificateSpec(
        name="metrics", user="ecomdeploy-metrics", names=(METRICS_SERVICE, "localhost", "127.0.0.1")
    ),
    CertificateSpec(name="webhook", user="ecomdeploy-webhook", names=("localhost", "127.0.0.1")),
    CertificateSpec(
        name="keda",
        user="keda",
        names=(KEDA_OPERATOR, "keda-metrics-apiserver.keda.svc", "localhost", "127.0.0.1"),
    ),
)


@dataclass(frozen=True)
class Certificates:
    """The folder of `<name>.crt` and `<name>.key` (PEM), and `accounts.key`, `accounts.pub` that sign and check the
    tokens of service accounts."""

    folder: Path

    def certificate(self, name: str) -> Path:
        return self.folder / f"{name}.crt"

    def key(self, name: str) -> Path:
        return self.folder / f"{name}.key"

    @property
    def accounts_key(self) -> Path:
        return self.key("accounts")

    @property
    def accounts_public(self) -> Path:
        return self.folder / "accounts.pub"

    def ensure(self) -> None:
        """Make what is not there. Raises BadInput when the folder is another user's."""
        from cryptography.hazmat.primitives import serialization

        claim_folder(self.folder)
        for authority in (AUTHORITY, FRONT_PROXY, STORE):
            if not self._is_kept(authority):
                self._make_authority(authority)
        for wanted in CERTIFICATES:
            if not self._is_kept(wanted.name):
                self._sign(wanted)
        if not self.accounts_public.exists():
            public = self._new_key("accounts").public_key()
            pem = public.public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            )
            write_atomically(self.accounts_public, pem, private=True)

    def kubeconfig(self, name: str, port: int) -> bytes:
        """A kubeconfig of its own, certificates and key inside, for the API server on that port of 127.0.0.1."""

        def inline(path: Path) -> str:
            return base64.b64encode(read_own(path)).decode()

        return f"""apiVersion: v1
kind: Config
clusters:
- name: ecomdeploy-local
  cluster:
    server: https://127.0.0.1:{port}
    certificate-authority-data: {inline(self.certificate(AUTHORITY))}
users:
- name: {name}
  user:
    client-certificate-data: {inline(self.certificate(name))}
    client-key-data: {inline(self.key(name))}
contexts:
- name: ecomdeploy-local
  context: {{cluster: ecomdeploy-local, user: {name}}}
current-context: ecomdeploy-local
""".encode()

    def _is_kept(self, name: str) -> bool:
        # the key is written first: where there is a certificate there is its key
        return self.certificate(name).exists()

    def _new_key(self, name: str) -> EllipticCurvePrivateKey:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ec

        key = ec.generate_private_key(ec.SECP256R1())
        pem = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
        write_atomically(self.key(name), pem, private=True)
        return key

    def _make_authority(self, name: str) -> None:
        from cryptography import x509

        key = self._new_key(name)
        usage = x509.KeyUsage(
            digital_signature=True,
            key_cert_sign=True,
            crl_sign=True,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            encipher_only=False,
            decipher_only=False,
        )
        extensions = [(x509.BasicConstraints(ca=True, path_length=None), True), (usage, True)]
        self._write(name, f"ecomdeploy-{name}", "", key, (f"ecomdeploy-{name}", key), extensions)

    def _sign(self, wanted: CertificateSpec) -> None:
        from cryptography import x509
        from cryptography.hazmat.primitives import serialization
        from cryptography.x509.oid import ExtendedKeyUsageOID

        signing = serialization.load_pem_private_key(read_own(self.key(wanted.authority)), None)
        # etcd's own certificate is shown to itself too, by the gateway in front of its gRPC
        uses = [ExtendedKeyUsageOID.CLIENT_AUTH]
        if wanted.names:
            uses.append(ExtendedKeyUsageOID.SERVER_AUTH)
        extensions: list[tuple[x509.ExtensionType, bool]] = [(x509.ExtendedKeyUsage(uses), False)]
        if wanted.names:
            extensions.append((x509.SubjectAlternativeName([_general(name) for name in wanted.names]), False))
        key = self._new_key(wanted.name)
        signer = (f"ecomdeploy-{wanted.authority}", signing)
        self._write(wanted.name, wanted.user, wanted.group, key, signer, extensions)  # type: ignore[arg-type]

    def _write(
        self,
        name: str,
        user: str,
        group: str,
        key: EllipticCurvePrivateKey,
        signer: tuple[str, EllipticCurvePrivateKey],
        extensions: Sequence[tuple[ExtensionType, bool]],
    ) -> None:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization

        builder = (
            x509.CertificateBuilder()
            .subject_name(_subject(user, group))
            .issuer_name(_subject(signer[0], ""))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(VALID[0])
            .not_valid_after(VALID[1])
        )
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical)
        made: Certificate = builder.sign(signer[1], hashes.SHA256())
        write_atomically(self.certificate(name), made.public_bytes(serialization.Encoding.PEM), private=True)


def _subject(user: str, group: str) -> Name:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    parts = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group)] if group else []
    return x509.Name([*parts, x509.NameAttribute(NameOID.COMMON_NAME, user)])


def _general(name: str) -> GeneralName:
    from cryptography import x509

    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)
