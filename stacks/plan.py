"""What `up` would do, said before it does: nothing is trained, built, pushed or changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stacks.collaborators import Shop
from stacks.hardware import refuse_hopeless, refuse_unfit, remarks
from stacks.pulumi_driver.driver import Change
from stacks.records.ledger import RETAINED
from stacks.records.release import Packed, Release
from stacks.settings import (
    base_settings,
    base_stack,
    contract_of,
    service_settings,
    service_stack,
    unpacked_image,
)
from stacks.spec import Spec
from stacks.steps import candidate, describe_end

UNKNOWN_REPOSITORY = "registry.invalid/not-there-yet"
UNKNOWN_ROLE = "arn:aws:iam::000000000000:role/not-there-yet"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """`push_bytes`: None until packed; `release`: the number that `up` would give, None: no new one."""

    spec: Spec
    driver: str
    changes: tuple[Change, ...]
    push_bytes: int | None
    release: int | None
    live: int | None
    image: str | None
    notes: tuple[str, ...] = ()

    def document(self) -> dict[str, Any]:
        """The JSON of DESIGN section 7."""
        return {
            "service": self.spec.service,
            "environment": self.spec.environment.name,
            "driver": self.driver,
            "live": self.live,
            "release": self.release,
            "image": self.image,
            "push_bytes": self.push_bytes,
            "changes": [change.document() for change in self.changes],
            "notes": list(self.notes),
        }


def plan(shop: Shop, spec: Spec) -> Plan:
    """Preview both stacks against what is really there. Reads only; takes no lease.

    Raises:
        BadInput: the instance cannot run the pack.
        CloudRefused, EcomdeployError: the preview could not be made.
    """
    pack = shop.builder.known(spec)
    if pack is not None:
        refuse_unfit(spec, pack, contract_of(spec))
    else:
        refuse_hopeless(spec, contract_of(spec))
    base = shop.outputs(base_stack(spec))
    repository = str(base["repository_url"]) if base else UNKNOWN_REPOSITORY
    image = f"{repository}@{pack.digest}" if pack else unpacked_image(repository, spec)
    release, live = candidate(shop, spec, pack or nothing(spec), image), shop.ledger.live()
    keeps = live is not None and live.key == release.key
    ahead = release if live is None or not keeps else live
    changes = (
        *shop.driver.preview(base_stack(spec), base_settings(spec)),
        *shop.driver.preview(service_stack(spec), settings_ahead(shop, spec, base, live, ahead)),
    )
    number = max((each.number for each in shop.ledger.releases()), default=0) + 1
    return Plan(
        spec=spec,
        driver=shop.driver.name,
        changes=changes,
        push_bytes=push_bytes(shop, base, pack),
        release=None if keeps else number,
        live=live.number if live else None,
        image=image if pack and base else None,
        notes=(
            *notes(shop, pack, live, keeps, number),
            *(remarks(spec, pack, spec.serve.instance) if pack else ()),
        ),
    )


def settings_ahead(
    shop: Shop, spec: Spec, base: Mapping[str, Any] | None, live: Release | None, ahead: Release
) -> dict[str, Any]:
    """What `up` would tell the service program once the release is live and the window pruned."""
    kept = [each for each in (live, *shop.ledger.retained()) if each is not None and each.key != ahead.key]
    role = str(base["role_arn"]) if base else UNKNOWN_ROLE
    return service_settings(spec, role, (ahead, *kept[:RETAINED]), (live or ahead).key, shop.ledger.clock())


def push_bytes(shop: Shop, base: Mapping[str, Any] | None, pack: Packed | None) -> int | None:
    if pack is None:
        return None
    return shop.images.missing(str(base["repository_url"]) if base else "", pack.digest)


def notes(shop: Shop, pack: Packed | None, live: Release | None, keeps: bool, number: int) -> list[str]:
    """What a list of changes does not say."""
    said = []
    if pack is None:
        said.append(
            "the image is not known until packed: `up` (or `ecomdeploy pack`) trains and builds first"
        )
        said.append("names and digests that follow from the image are placeholders")
    marked = shop.ledger.refused(pack.digest) if pack and not keeps else None
    if marked:
        said.append(
            f"`up` will refuse: this very pack was release {marked.number}, and it {describe_end(marked)} (--again)"
        )
    if keeps and live:
        said.append(f"release {live.number} is live and stays; no new release")
    elif live:
        said.append(f"release {number} takes over from release {live.number}, which stays ready")
    else:
        said.append(f"release {number} is the first: the endpoint is created on it")
    return said


def nothing(spec: Spec) -> Packed:
    return Packed(digest="", content_digest="", input_digest="", usecase=spec.usecase)
