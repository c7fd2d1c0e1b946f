"""A registry's certificate counts as httpx has it count; where nothing is encrypted no authorities are read."""

from __future__ import annotations

import http.server
import ipaddress
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from tiny_registry import serving

from modelpack.image.registry.http import Again, Connection, TlsWhenUsed


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """Of this machine's address, signed by itself, with its key."""
    key, name = (
        ec.generate_private_key(ec.SECP256R1()),
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "me")]),
    )
    here = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    begun = datetime.now(UTC) - timedelta(days=1)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, begun, begun + timedelta(days=9))
        .add_extension(here, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "certificate.pem"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(made.public_bytes(Encoding.PEM) + private)
    return path


@pytest.fixture
def encrypted(certificate: Path) -> Iterator[str]:
    server = http.server.HTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
    own = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    own.load_cert_chain(certificate)
    server.socket = own.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"https://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_certificate_of_nobody_is_refused(encrypted: str) -> None:
    with pytest.raises(Again, match="CERTIFICATE_VERIFY_FAILED"):
        Connection(encrypted, None).once("GET", "/nothing", (404,))


def test_one_that_the_machine_is_told_to_trust_is_taken(
    encrypted: str, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert Connection(encrypted, None).once("GET", "/nothing", (404,)).status_code == 404


def test_where_nothing_is_encrypted_no_authorities_are_read() -> None:
    with serving() as fake:
        context = TlsWhenUsed(ssl.PROTOCOL_TLS_CLIENT)
        connection = Connection(fake.url, None, context=context)
        assert connection.once("GET", "/v2/shop/tags/list", (200, 404))
    assert "used" not in vars(context)
