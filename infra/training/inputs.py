"""What a training needs of this machine, in S3: the user's files and the packages that carry a use case's own data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infra.aws_session import AwsSession, holds_object, refusals
from modelpack.errors import BadInput
from modelpack.home import Home
from modelpack.progress import Progress, tell_size
from modelpack.training.asked import DATA
from modelpack.training.container import PACKAGES, PROJECT
from modelpack.usecases.packages import fetch

if TYPE_CHECKING:
    from modelpack.inputs.resolve import Inputs


@dataclass(frozen=True)
class TrainingFile:
    """`path` of this machine; `name` below the channel."""

    channel: str
    name: str
    path: Path


def list_files(inputs: Inputs, home: Home, progress: Progress) -> tuple[TrainingFile, ...]:
    """All of it, fetched where it is not here. Raises BadInput for code that lies outside of the project."""
    every = [*own_code(inputs), *own_data(inputs)]
    every += [TrainingFile(PACKAGES, one.filename, fetch(one, home, progress)) for one in inputs.packages]
    return tuple(every)


def own_code(inputs: Inputs) -> Iterator[TrainingFile]:
    """The files of a use case that the user wrote."""
    import modelpack

    ours, project = Path(modelpack.__file__).parent, inputs.request.project.resolve()
    for file in sorted(inputs.training_code.files):
        if ours in file.parents:
            continue
        if not file.resolve().is_relative_to(project):
            raise BadInput(
                f"the use case rests on {file}, outside of the project: a training job cannot be given it",
                hint="put it into the project, or train here: model.train.on: local",
            )
        yield TrainingFile(PROJECT, file.resolve().relative_to(project).as_posix(), file)


def own_data(inputs: Inputs) -> Iterator[TrainingFile]:
    """The files of the user's own data, as `AskedTraining` names them."""
    path = inputs.data_path
    if path is None:
        return
    if path.is_file():
        yield TrainingFile(PROJECT, f"{DATA}/{path.name}", path)
        return
    for file in sorted(one for one in path.rglob("*") if one.is_file()):
        yield TrainingFile(PROJECT, f"{DATA}/{path.name}/{file.relative_to(path).as_posix()}", file)


def send(
    session: AwsSession, bucket: str, prefix: str, files: tuple[TrainingFile, ...], progress: Progress
) -> tuple[str, ...]:
    """Those that are not there yet to `prefix/<channel>/<name>`; the channels that have files. The prefix names the
    content, so that what is there is right."""
    from boto3.s3.transfer import S3Transfer

    client: Any = session.client("s3")
    lacking = [
        one for one in files if not holds_object(session, bucket, f"{prefix}/{one.channel}/{one.name}")
    ]
    total = sum(one.path.stat().st_size for one in lacking)
    if lacking:
        progress.note(f"sending {len(lacking)} files of data, {tell_size(total)}, to {bucket}")
    with refusals(f"sending data to {bucket}"), progress.track("sending data", total, "B") as advance:
        for one in lacking:
            key = f"{prefix}/{one.channel}/{one.name}"
            S3Transfer(client).upload_file(str(one.path), bucket, key, callback=advance)
    return tuple(sorted({one.channel for one in files}))
