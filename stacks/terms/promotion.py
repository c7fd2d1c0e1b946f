"""Promotion by digest: what is live and verified in one environment is shipped to another, and nothing is built.

It is a `Builder` (stacks/collaborators.py), so that `plan` and `up` read the same with it. The image comes from the
other environment's registry, with everything attached to it; it must be served as it was there, or what serves would
not be what was proven. Scale, alarms and the rollout are the environment's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from modelpack.errors import BadInput
from modelpack.progress import Progress
from modelpack.server.secrets import PREFIX
from stacks.records.ledger import Ledger
from stacks.records.release import Packed, Proof, Release, ServingConfiguration, State
from stacks.spec import Environment
from stacks.wanted import Wanted


class ImageSource(Protocol):
    def fetch(self, image: str, progress: Progress) -> None:
        """Bring `repository@sha256:...` into the local store, with what is attached to it; what is here stays."""
        ...


@dataclass(frozen=True, kw_only=True)
class Promotion:
    """`ledger` and `images` are those of `place`, the environment that the pack comes from."""

    place: Environment
    ledger: Ledger
    images: ImageSource

    def find(self, wanted: Wanted) -> Packed:
        """The pack that is live there, with its proof.

        Raises:
            BadInput: nothing is live there, or the spec asks that it be served otherwise than it was proven.
        """
        release = self.release()
        refuse_other_serving(self.place.name, release.serving, wanted.serving)
        # in its own environment nothing is promoted: what was proven elsewhere stays so
        return (
            release.pack if self.is_own(wanted) else replace(release.pack, proven=prove(self.place, release))
        )

    def build(
        self, wanted: Wanted, progress: Progress, *, regate: bool, base: Mapping[str, Any] | None = None
    ) -> Packed:
        """The same, with its image in the local store. Nothing is built, so nothing is measured anew.

        Raises:
            BadInput: as `find`, or `regate` was asked for.
        """
        if regate:
            raise BadInput("a promotion measures nothing anew", hint="leave out --regate, or --from")
        found = self.find(wanted)
        if not self.is_own(wanted):
            self.images.fetch(self.release().image, progress)
        return found

    def release(self) -> Release:
        live = self.ledger.live()
        if live is None:
            raise BadInput(
                f"nothing is live in {self.place.name}, so nothing is proven there",
                hint=f"ecomdeploy up {self.place.name}",
            )
        return live

    def is_own(self, wanted: Wanted) -> bool:
        return self.place.name == wanted.spec.environment.name


def prove(place: Environment, release: Release) -> Proof:
    """A release is live only after it was verified through the route, so that moment is the proof's."""
    since = next(one.at for one in reversed(release.timeline) if one.state is State.LIVE)
    return Proof(
        environment=place.name,
        account=place.account,
        region=place.region,
        release=release.number,
        image=release.image,
        live_since=since,
        who=release.who,
    )


def refuse_other_serving(source: str, proven: ServingConfiguration, wanted: ServingConfiguration) -> None:
    """Raises BadInput where the spec asks for another instance, host image, target or environment. Where a secret lies
    is each environment's own; that there is one is not."""
    differing = [
        f"{name} was {ours or 'none'} there, and the spec asks for {theirs or 'none'}"
        for name, ours, theirs in (
            ("serve.target", proven.target, wanted.target),
            ("serve.instance", proven.instance, wanted.instance),
            ("serve.ami", proven.host_image, wanted.host_image),
            ("serve.environment", compare(proven.environment), compare(wanted.environment)),
        )
        if ours != theirs
    ]
    if differing:
        what = f"it would not be served as it was proven in {source}: {'; '.join(differing)}"
        raise BadInput(
            what, hint=f"give both environments the same serve, or ship it to {source} as it is now"
        )


def compare(environment: Mapping[str, str]) -> dict[str, str]:
    """What of a release's environment must be the same elsewhere."""
    return {
        name: "a secret" if name.startswith(PREFIX) else value for name, value in sorted(environment.items())
    }


@dataclass
class FakeImageSource:
    """The fake: remembers what was fetched."""

    fetched: list[str] = field(default_factory=list)

    def fetch(self, image: str, progress: Progress) -> None:
        self.fetched.append(image)
