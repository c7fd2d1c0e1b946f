"""ECR over moto: repositories are moto's, images are those that the OCI registry holds."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from infra.rehearsal.cloud.addresses import ACCOUNT, LOOPBACK
from infra.rehearsal.cloud.aws.overlay.base import (
    ApiCall,
    ApiError,
    HttpResponse,
    Overlay,
    document,
    emulates,
    now,
)

if TYPE_CHECKING:
    from infra.rehearsal.cloud.aws.overlay.base import Surroundings
    from infra.rehearsal.cloud.registry.repositories import Push


def repositories() -> Iterator[tuple[str, Any]]:
    """Every repository of the account by name. Two regions share one registry here, so a name is found once."""
    from moto.ecr.models import ecr_backends

    if ACCOUNT in ecr_backends:
        for backend in tuple(ecr_backends[ACCOUNT].values()):
            yield from tuple(backend.repositories.items())


@dataclass(frozen=True)
class EcrRepositories:
    """What the registry asks (repositories.Repositories). Takes no lock: dictionary reads only."""

    account: Surroundings

    def exists(self, name: str) -> bool:
        return any(name == known for known, _ in repositories())

    def immutable_tags(self, name: str) -> bool:
        return any(name == known and repository.is_tag_immutable() for known, repository in repositories())

    def on_push(self, push: Push) -> None:
        """Nothing to keep: images are read from the registry whenever ECR is asked."""

    def on_delete(self, repository: str, digest: str, tags: tuple[str, ...]) -> None:
        """The same."""


class Ecr(Overlay):
    """`repositoryUri` points at the local registry; images and their digests are the registry's, byte for byte."""

    @property
    def host(self) -> str:
        return f"{LOOPBACK}:{self.account.ports.registry}"

    @emulates("CreateRepository", "documented", "API_CreateRepository")
    def create_repository(self, call: ApiCall) -> HttpResponse:
        """A new repository is empty, whatever a killed daemon left of an earlier one of its name."""
        answer = self.moto(call)
        if not answer.ok:
            return answer
        self.account.registry.forget(call.parameters["repositoryName"])
        return self._with_uris(answer)

    @emulates("DescribeRepositories", "documented", "API_DescribeRepositories")
    def describe_repositories(self, call: ApiCall) -> HttpResponse:
        """`repositoryUri` is where an OCI client can push to."""
        return self._with_uris(self.moto(call))

    @emulates("DeleteRepository", "documented", "API_DeleteRepository")
    def delete_repository(self, call: ApiCall) -> HttpResponse:
        """A repository with images is only deleted with `force`; its blobs go with it."""
        self._read(call)
        answer = self.moto(call)
        if answer.ok:
            self.account.registry.forget(call.parameters["repositoryName"])
        return self._with_uris(answer)

    @emulates("DescribeImages", "documented", "API_DescribeImages")
    def describe_images(self, call: ApiCall) -> HttpResponse:
        """Pushed images with their digest, tags, time and size; referrers are listed too, as ECR does."""
        held = self._read(call)
        answer = self.moto(call)
        if not answer.ok:
            return answer
        found = document(answer)
        for detail in found["imageDetails"]:
            push = held[detail["imageDigest"]]
            detail |= {"imageSizeInBytes": push.size, "imageManifestMediaType": push.media_type}
            detail["imagePushedAt"] = push.pushed_at.timestamp()
            if push.artifact_type:
                detail["artifactMediaType"] = push.artifact_type
        return answer.with_body(json.dumps(found).encode())

    @emulates("ListImages BatchGetImage", "documented", "API_ListImages, API_BatchGetImage")
    def read_images(self, call: ApiCall) -> HttpResponse:
        """Pushed images, and their manifests as pushed."""
        self._read(call)
        return self.moto(call)

    @emulates("BatchDeleteImage", "documented", "API_BatchDeleteImage")
    def batch_delete_image(self, call: ApiCall) -> HttpResponse:
        """By tag the tag goes, and the image with its last tag; by digest the image goes."""
        from infra.rehearsal.cloud.registry.answers import RegistryError

        name = call.parameters["repositoryName"]
        before = self._read(call)
        answer = self.moto(call)
        if not answer.ok:
            return answer
        told = document(answer)
        for gone in told["imageIds"]:
            whole = gone["imageDigest"] if "imageTag" not in gone else gone["imageTag"]
            push = before.get(gone.get("imageDigest", ""))
            last = push is not None and push.tags == (gone.get("imageTag"),)
            try:
                self.account.registry.delete(name, gone["imageDigest"] if last else whole)
            except RegistryError:
                continue  # two ids of one image
        # moto deletes an image without a tag, and does not say so
        untagged = [one for one in self._list_digests(call) if before.get(one) and not before[one].tags]
        for digest in untagged:
            self.account.registry.delete(name, digest)
        told["imageIds"] += [{"imageDigest": digest} for digest in untagged]
        return answer.with_body(json.dumps(told).encode())

    def _list_digests(self, call: ApiCall) -> list[str]:
        """Digests that are to go, whatever their tags."""
        ids = call.parameters["imageIds"]
        return list(
            dict.fromkeys(one["imageDigest"] for one in ids if "imageDigest" in one and "imageTag" not in one)
        )

    @emulates("PutImage", "documented", "API_PutImage")
    def put_image(self, call: ApiCall) -> HttpResponse:
        """A manifest whose blobs the registry holds, given another tag; tags of an immutable repository do not move."""
        from infra.rehearsal.cloud.registry.answers import RegistryError

        asked = call.parameters
        self._read(call)
        media = asked.get("imageManifestMediaType") or json.loads(asked["imageManifest"]).get("mediaType", "")
        answer = self.moto(call)
        if answer.ok:
            reference = asked.get("imageTag") or asked["imageDigest"]
            try:
                self.account.registry.put(
                    asked["repositoryName"], reference, asked["imageManifest"].encode(), media
                )
            except RegistryError as refused:
                raise ApiError("InvalidParameterException", str(refused)) from None
        return answer

    @emulates("GetAuthorizationToken", "documented", "API_GetAuthorizationToken")
    def get_authorization_token(self, call: ApiCall) -> HttpResponse:
        """The local registry's user and password; they outlive the 12 hours that are told."""
        answer = self.moto(call)
        found = document(answer)
        token = base64.b64encode(":".join(self.account.registry_login).encode()).decode()
        until = (now() + timedelta(hours=12)).timestamp()
        for datum in found["authorizationData"]:
            datum |= {"authorizationToken": token, "proxyEndpoint": f"http://{self.host}", "expiresAt": until}
        return answer.with_body(json.dumps(found).encode())

    def status(self) -> dict[str, Any]:
        """Images with their tags."""
        images = [
            f"{name}@{push.digest} {' '.join(push.tags)}".strip()
            for name, _ in repositories()
            for push in self.account.registry.images(name)
            if not push.subject
        ]
        return {"images": images}

    def _with_uris(self, answer: HttpResponse) -> HttpResponse:
        if not answer.ok:
            return answer
        found = document(answer)
        told = found.get("repositories", [found["repository"]] if "repository" in found else [])
        for repository in told:
            repository["repositoryUri"] = f"{self.host}/{repository['repositoryName']}"
        return answer.with_body(json.dumps(found).encode())

    def _read(self, call: ApiCall) -> dict[str, Push]:
        """Give moto the images that the registry holds now; they are returned by digest."""
        from moto.ecr.models import Image, ecr_backends

        name = call.parameters["repositoryName"]
        backend = ecr_backends[ACCOUNT][call.region]
        repository = backend.repositories.get(name)
        if repository is None:
            text = f"The repository with name '{name}' does not exist in the registry with id '{ACCOUNT}'"
            raise ApiError("RepositoryNotFoundException", text)
        held = {push.digest: push for push in self.account.registry.images(name)}
        known = {image.image_digest: image for image in repository.images}
        repository.images = []
        for digest, push in held.items():
            image = known.get(digest) or Image(
                ACCOUNT, None, push.manifest.decode(), name, push.media_type, digest
            )
            image.image_tags = list(push.tags)
            image.image_tag = push.tags[-1] if push.tags else None
            repository.images.append(image)
        return held
