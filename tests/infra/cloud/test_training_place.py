"""Training as a SageMaker job on the local cloud: the bytes of this machine, whatever happens on the way."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import training_folder

from infra.aws_session import AwsSession
from infra.rehearsal.cloud.client import LocalCloud
from infra.training.model_archive import take_model
from infra.training.sagemaker import SageMakerTraining, TrainingGround
from modelpack.digests import sha256_of
from modelpack.errors import BadInput, CloudRefused, EcomdeployError
from modelpack.gate.reference import train_or_reuse
from modelpack.home import Home
from modelpack.inputs.resolve import Inputs
from modelpack.inputs.spec import TrainSpec
from modelpack.progress import Silent
from modelpack.training.lineage import MODEL, Lineage
from modelpack.training.train import prepare_data

TRAINING = f"{Path(__file__).resolve().parents[2] / 'support' / 'training_host.py'}:TrainingHost"
pytestmark = pytest.mark.usefixtures("empty")


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    root: Path = tmp_path_factory.mktemp("home")
    local = LocalCloud(Home(root, root / "cache"), host=TRAINING)
    local.ensure()
    yield local
    local.stop()


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    training_folder.write_payments(folder / "payments.csv")
    return folder


@pytest.fixture
def inputs(project: Path) -> Inputs:
    return training_folder.resolve_payments(project)


@pytest.fixture(scope="module")
def here(project: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The sha256 of the model as this machine trains it."""
    root = tmp_path_factory.mktemp("here")
    home, inputs = Home(root, root / "cache"), training_folder.resolve_payments(project)
    data, _ = prepare_data(inputs, home, Silent())
    return sha256_of(train_or_reuse(inputs, data, home, Silent())[0])


@pytest.fixture
def place(aws: Any) -> SageMakerTraining:
    aws("ecr").create_repository(repositoryName="shop")
    aws("s3").create_bucket(Bucket="shop-records")
    image = aws.push("shop", "v1", "train")
    ground = TrainingGround(
        name="shop-local",
        bucket="shop-records",
        role_arn="arn:aws:iam::123456789012:role/shop-local-training",
        tags={"ecomdeploy:project": "shop"},
    )
    session = AwsSession(aws.variables)
    spec = TrainSpec(on="sagemaker", instance="ml.c7i.large", max_seconds=3600)
    return SageMakerTraining(
        session=session, ground=ground, spec=spec, push=lambda inputs, progress: image, look_every=0.2
    )


def jobs(aws: Any) -> list[tuple[str, str]]:
    found = aws("sagemaker").list_training_jobs()["TrainingJobSummaries"]
    return [(one["TrainingJobName"], one["TrainingJobStatus"]) for one in found]


def brought(place: SageMakerTraining, inputs: Inputs, folder: Path, told: Silent | None = None) -> Lineage:
    folder.mkdir(exist_ok=True)
    lineage = place.train(inputs, Home(folder, folder / "cache"), folder, told or Silent())
    assert sha256_of(folder / MODEL) == lineage.model
    return lineage


def test_a_job_gives_the_bytes_of_this_machine(
    place: SageMakerTraining, inputs: Inputs, here: str, aws: Any, tmp_path: Path
) -> None:
    told = Silent()
    lineage = brought(place, inputs, tmp_path / "one", told)
    assert lineage.model == here
    assert lineage.inputs == inputs.training_digest
    [(name, status)] = jobs(aws)
    assert (status, lineage.place["job"], lineage.place["on"]) == ("Completed", name, "sagemaker")
    assert name.startswith("shop-local-train-")
    assert lineage.place["instance"] == "ml.c7i.large"
    assert lineage.place["billed_seconds"] > 0
    assert any(line.startswith("Training: ") for line in told.lines)
    assert [line for line in told.lines if "100 % of" in line], "the job's own log"
    # another machine, whose cache is empty: the job is there, and is not done again
    assert brought(place, inputs, tmp_path / "two").model == here
    assert len(jobs(aws)) == 1


class Cut(Silent):
    """Ctrl-C, or a kill, as soon as the job trains."""

    def note(self, line: str) -> None:
        super().note(line)
        if line.startswith("Training: "):
            raise KeyboardInterrupt


def test_a_run_that_was_killed_leaves_a_job_that_the_next_one_waits_for(
    place: SageMakerTraining, inputs: Inputs, here: str, aws: Any, tmp_path: Path
) -> None:
    told = Cut()
    with pytest.raises(KeyboardInterrupt):
        brought(place, inputs, tmp_path / "one", told)
    assert any("stop-training-job" in line for line in told.lines)
    again = Silent()
    assert brought(place, inputs, tmp_path / "one", again).model == here
    assert len(jobs(aws)) == 1


def test_an_interrupted_spot_training_gives_the_same_bytes(
    place: SageMakerTraining, inputs: Inputs, here: str, cloud: LocalCloud, tmp_path: Path
) -> None:
    cloud.plant({"kind": "spot", "seconds": 3.0})
    spot = replace(place, spec=replace(place.spec, spot=True))
    told = Silent()
    lineage = brought(spot, inputs, tmp_path / "one", told)
    assert lineage.model == here
    assert lineage.place["spot"] is True
    assert any(line.startswith("Interrupted: ") for line in told.lines)


def test_a_failed_attempt_is_told_and_the_next_run_makes_another(
    place: SageMakerTraining, inputs: Inputs, here: str, aws: Any, cloud: LocalCloud, tmp_path: Path
) -> None:
    cloud.plant({"kind": "capacity"})
    with pytest.raises(CloudRefused, match="CapacityError") as refused:
        brought(place, inputs, tmp_path / "one")
    assert refused.value.exit_code == 5
    told = Silent()
    assert brought(place, inputs, tmp_path / "one", told).model == here
    assert [status for _, status in jobs(aws)] == ["Failed", "Completed"]
    assert [name[-2:] for name, _ in jobs(aws)] == ["-1", "-2"]
    assert any("another attempt" in line for line in told.lines)


def test_the_trainings_own_reason_arrives(
    place: SageMakerTraining, inputs: Inputs, aws: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The image has other code than this machine: the job says so, and the message here says what it said."""
    other = training_folder.with_other_code(inputs)
    with pytest.raises(EcomdeployError, match="the training image holds other code"):
        brought(place, other, tmp_path / "one")


def test_another_training_is_another_job(place: SageMakerTraining, project: Path) -> None:
    inputs, other = (
        training_folder.resolve_payments(project),
        training_folder.resolve_payments(project, seed=8),
    )
    elsewhere = replace(place, spec=TrainSpec(instance="ml.m7i.large"))
    spot = replace(place, spec=replace(place.spec, spot=True))
    names = {
        place.name_job(inputs, "a", 1),
        place.name_job(other, "a", 1),
        place.name_job(inputs, "b", 1),
        place.name_job(inputs, "a", 2),
        elsewhere.name_job(inputs, "a", 1),
        spot.name_job(inputs, "a", 1),
    }
    assert len(names) == 6
    assert all(len(name) <= 63 for name in names)
    longer = replace(place, spec=replace(place.spec, max_seconds=7200))
    assert longer.name_job(inputs, "a", 1) == place.name_job(inputs, "a", 1)


def archive_of(files: dict[str, bytes], path: Path, change: Callable[[tarfile.TarInfo], None]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            change(entry)
            archive.addfile(entry, io.BytesIO(content))
    return path


def test_a_strangers_archive_writes_two_names_and_no_more(tmp_path: Path) -> None:
    lineage = b'{"format": 1, "inputs": "i", "model": "m", "of": {}, "place": {}}'
    files = {"../escaped": b"x", "/tmp/escaped": b"x", "lineage.json": lineage, "model.safetensors": b"model"}
    (tmp_path / "in").mkdir()
    found = take_model(archive_of(files, tmp_path / "a.tar.gz", lambda entry: None), tmp_path / "in")
    assert (found.inputs, found.model) == ("i", "m")
    assert [one.name for one in (tmp_path / "in").iterdir()] == ["model.safetensors"]
    assert sorted(one.name for one in tmp_path.iterdir()) == ["a.tar.gz", "in"]

    def link(entry: tarfile.TarInfo) -> None:
        entry.type, entry.linkname, entry.size = tarfile.SYMTYPE, "/etc/passwd", 0

    for broken in (
        archive_of({"model.safetensors": b""}, tmp_path / "b.tar.gz", link),
        archive_of({"lineage.json": lineage}, tmp_path / "c.tar.gz", lambda entry: None),
        archive_of({"lineage.json": b"{}", "model.safetensors": b""}, tmp_path / "d.tar.gz", lambda e: None),
    ):
        with pytest.raises(EcomdeployError):
            take_model(broken, tmp_path / "in")
    (tmp_path / "e.tar.gz").write_bytes(b"no archive")
    with pytest.raises(EcomdeployError, match="no whole archive"):
        take_model(tmp_path / "e.tar.gz", tmp_path / "in")


def test_code_outside_of_the_project_is_refused(place: SageMakerTraining, tmp_path: Path) -> None:
    outside = training_folder.resolve_outside(tmp_path)
    with pytest.raises(BadInput, match="outside of the project"):
        brought(place, outside, tmp_path / "one")
