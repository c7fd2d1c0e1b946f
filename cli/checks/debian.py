"""A Debian mirror for the image's base; once locked and downloaded it is not needed again."""

from __future__ import annotations

import urllib.error
import urllib.request

from cli.checks.base import CheckContext, Finding


def check(context: CheckContext) -> Finding:
    from modelpack.image.debian.mirror import of_host

    mirror = of_host("bookworm").of("bookworm")
    try:
        with urllib.request.urlopen(f"{mirror}/dists/bookworm/InRelease", timeout=10) as answer:  # noqa: S310 - https, written here
            answer.read(64)
    except (urllib.error.URLError, TimeoutError, OSError) as error:
        return Finding(
            "debian",
            "warning",
            f"{mirror} does not answer ({error})",
            "set pack.base to an image by digest instead",
        )
    return Finding("debian", "ok", f"{mirror} answers")
