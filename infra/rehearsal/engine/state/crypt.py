"""Secrets under a passphrase, in Pulumi's own format, so that the real CLI reads the same state.

Source: pulumi/pulumi, pkg/secrets/passphrase and sdk/go/common/resource/config/crypt.go: AES-256-GCM, key by
PBKDF2-HMAC-SHA256 with 1,000,000 rounds; text form "v1:<nonce, base64>:<ciphertext and tag, base64>".
"""

from __future__ import annotations

import base64
import functools
import hashlib
import os
import threading
from typing import Final

from infra.rehearsal.engine.errors import WrongPassphrase

ROUNDS: Final = 1_000_000
SALT_BYTES: Final = 8
NONCE_BYTES: Final = 12
KEY_BYTES: Final = 32
PROOF: Final = "pulumi"
"""What the salt text carries encrypted, to tell a wrong passphrase early."""


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def encrypt(key: bytes, text: str) -> str:
    """Text under a 32-byte key, fresh nonce."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    nonce = os.urandom(NONCE_BYTES)
    return f"v1:{_base64(nonce)}:{_base64(AESGCM(key).encrypt(nonce, text.encode(), None))}"


def decrypt(key: bytes, ciphertext: str) -> str:
    """The inverse of `encrypt`; raises `WrongPassphrase`."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    version, _, rest = ciphertext.partition(":")
    nonce, _, body = rest.partition(":")
    if version != "v1" or not body:
        raise WrongPassphrase("not a v1 ciphertext")
    try:
        return AESGCM(key).decrypt(base64.b64decode(nonce), base64.b64decode(body), None).decode()
    except InvalidTag:
        raise WrongPassphrase("incorrect passphrase") from None


class Keyring:
    """Derives each key once per process: a million rounds take a good tenth of a second."""

    def __init__(self) -> None:
        self._keys: dict[tuple[str, bytes], bytes] = {}
        self._lock = threading.Lock()

    def key(self, passphrase: str, salt: bytes) -> bytes:
        """The key of a passphrase and salt."""
        with self._lock:
            if (passphrase, salt) not in self._keys:
                self._keys[passphrase, salt] = hashlib.pbkdf2_hmac(
                    "sha256", passphrase.encode(), salt, ROUNDS, KEY_BYTES
                )
            return self._keys[passphrase, salt]

    def fresh_salt(self, passphrase: str) -> str:
        """The text a new stack keeps as `encryptionsalt`: "v1:<salt>:<proof>"."""
        salt = os.urandom(SALT_BYTES)
        return f"v1:{_base64(salt)}:{encrypt(self.key(passphrase, salt), PROOF)}"


class Vault:
    """Encrypts and decrypts for one stack. Derives its key at the first secret: without any it costs nothing.

    Ciphertexts are remembered in both directions: an unchanged secret keeps its ciphertext in the state.
    """

    def __init__(self, keyring: Keyring, passphrase: str, salt_text: str) -> None:
        self.salt_text = salt_text
        self._keyring = keyring
        self._passphrase = passphrase
        self._ciphertexts: dict[str, str] = {}
        self._plaintexts: dict[str, str] = {}

    @functools.cached_property
    def _key(self) -> bytes:
        version, salt, proof = self.salt_text.split(":", 2)
        if version != "v1":
            raise WrongPassphrase(f"unknown encryption salt version {version}")
        key = self._keyring.key(self._passphrase, base64.b64decode(salt))
        if decrypt(key, proof) != PROOF:
            raise WrongPassphrase("incorrect passphrase")
        return key

    def encrypt(self, text: str) -> str:
        """Encrypt, or give the ciphertext this text already has; raises `WrongPassphrase`."""
        if text not in self._ciphertexts:
            self._remember(text, encrypt(self._key, text))
        return self._ciphertexts[text]

    def decrypt(self, ciphertext: str) -> str:
        """Decrypt; raises `WrongPassphrase`."""
        if ciphertext not in self._plaintexts:
            self._remember(decrypt(self._key, ciphertext), ciphertext)
        return self._plaintexts[ciphertext]

    def _remember(self, text: str, ciphertext: str) -> None:
        self._plaintexts[ciphertext] = text
        self._ciphertexts[text] = ciphertext
