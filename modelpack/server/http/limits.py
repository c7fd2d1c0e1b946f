"""How much of anything one request, and all of them together, may take.

A request above a bound of its own is refused with 4xx and the reason; what is above a bound of all gets 429 with
`Retry-After`, before it costs anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

PREFIX = "ECOMDEPLOY_LIMIT_"


@dataclass(frozen=True)
class Limits:
    """Each is set by the variable `ECOMDEPLOY_LIMIT_<NAME>`, a whole number above 0."""

    body: int = 25 * 1024 * 1024
    """Bytes of a request's body, before and after its Content-Encoding."""
    rows: int = 10_000
    """Of one request."""
    elements: int = 8 * 1024 * 1024
    """Values of all inputs of a request once padded, and of all outputs of its answer."""
    extra_fields: int = 1024 * 1024
    """Bytes of JSON in fields of a request that are no input, where the user's code takes them."""
    seconds: int = 60
    """From a request's headers to its answer. SageMaker gives up after 60 s too."""
    stalled: int = 10
    """Seconds for a request's headers, and between two pieces of its body."""
    requests: int = 1000
    """In work at once."""
    waiting: int = 5
    """Seconds that a new request would wait for the model, by what the last calls took."""
    held: int = 256 * 1024 * 1024
    """Bytes of bodies and inputs of all requests in work."""

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> Limits:
        """The defaults with what the environment says. Raises ValueError naming the variable."""
        changed = {}
        for field in fields(cls):
            name = PREFIX + field.name.upper()
            if (text := environment.get(name)) is not None:
                if not (text.isascii() and text.isdigit() and 0 < len(text) < 16 and int(text) > 0):
                    raise ValueError(f"{name}={text!r} is not a whole number above 0")
                changed[field.name] = int(text)
        known = {PREFIX + field.name.upper() for field in fields(cls)}
        if strange := sorted(name for name in environment if name.startswith(PREFIX) and name not in known):
            raise ValueError(f"{strange[0]} is not known; there are {', '.join(sorted(known))}")
        return replace(cls(), **changed)
