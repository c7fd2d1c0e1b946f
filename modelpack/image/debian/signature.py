"""Who signed a Debian index: OpenPGP by sequoia, against keys that ship here or that the caller names."""

from __future__ import annotations

from pathlib import Path

from modelpack.errors import EcomdeployError, first_line

KEYS = Path(__file__).parent / "keys" / "debian-archive.asc"


def signed_text(data: bytes, keyring: Path | None, where: str) -> str:
    """The signed part of a clear-signed file.

    Raises EcomdeployError unless at least one good signature is by a key of `keyring` (default: Debian's own).
    Nothing outside the signed part is returned.
    """
    import pysequoia

    path = keyring or KEYS
    try:
        certificates = pysequoia.Cert.split_bytes(path.read_bytes())
    except (OSError, RuntimeError, ValueError) as problem:
        raise EcomdeployError(f"cannot read the keys in {path}: {first_line(problem)}") from None
    try:
        verified = pysequoia.verify(data, store=lambda identifiers: certificates)
    except (RuntimeError, ValueError, OSError) as problem:
        hint = "do not go on with this mirror; choose another (mirror) or, if it is your own, name its keys (keyring)"
        raise EcomdeployError(
            f"the package index is not signed by {path.name}: {first_line(problem)}", where=where, hint=hint
        ) from None
    if not verified.valid_sigs:
        raise EcomdeployError(f"the package index is not signed by {path.name}", where=where)
    return bytes(verified.bytes or b"").decode("utf-8")
