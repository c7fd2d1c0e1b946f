"""The training container's program: the same bytes as here, after any kill, and its failures in words."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import tiny_parts
import training_folder
from waiting import wait_for

from modelpack.errors import BadInput, EcomdeployError
from modelpack.gate.reference import train_or_reuse
from modelpack.home import Home
from modelpack.inputs.resolve import Inputs
from modelpack.progress import Silent
from modelpack.training.__main__ import main
from modelpack.training.asked import AskedTraining
from modelpack.training.container import VARIABLE, TrainingFolders
from modelpack.training.image import app, requirements, tell_folders
from modelpack.training.lineage import Lineage, read_lineage
from modelpack.training.place import FakePlace
from modelpack.training.train import prepare_data
from modelpack.usecases.checkpoints import KeptCheckpoints

MOMENTS = [
    one
    if one in (3, 5)
    else pytest.param(
        one, marks=pytest.mark.nightly(like="test_killed_at_any_moment_it_ends_with_the_same_bytes")
    )
    for one in range(1, training_folder.CHECKPOINTS)
]
"""After a candidate, and after each epoch of another."""
DYING = Path(__file__).resolve().parents[2] / "support" / "dying_training.py"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    training_folder.write_payments(folder / "payments.csv")
    return folder


@pytest.fixture(scope="module")
def here(project: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, Lineage]:
    """The model as `ecomdeploy pack` trains it on this machine."""
    root = tmp_path_factory.mktemp("here")
    home, inputs = Home(root, root / "cache"), training_folder.resolve_payments(project)
    data, _ = prepare_data(inputs, home, Silent())
    path, lineage = train_or_reuse(inputs, data, home, Silent())
    assert lineage is not None
    assert [one.name for one in home.models.iterdir() if one.suffix == ".work"] == []
    return path.read_bytes(), lineage


def kill(root: Path, moment: int) -> None:
    """The program in a process of its own, which kills itself after so many checkpoints."""
    environment = {**os.environ, VARIABLE: str(root)}
    died = subprocess.run([sys.executable, str(DYING), str(moment)], env=environment, timeout=600)
    assert died.returncode == -signal.SIGKILL


def train(root: Path) -> int:
    """The same program in this process."""
    return main({VARIABLE: str(root)})


def brought(root: Path) -> tuple[bytes, Lineage]:
    model = TrainingFolders(root).model
    assert sorted(one.name for one in model.iterdir()) == ["lineage.json", "model.safetensors"]
    return (model / "model.safetensors").read_bytes(), read_lineage(
        (model / "lineage.json").read_bytes(), "here"
    )


def test_the_container_trains_what_is_trained_here(
    project: Path, here: tuple[bytes, Lineage], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    inputs = training_folder.resolve_payments(project)
    assert train(training_folder.fill(tmp_path / "ml", inputs)) == 0
    assert "100 % of" in capsys.readouterr().out
    model, lineage = brought(tmp_path / "ml")
    assert model == here[0]
    assert lineage == here[1]
    assert lineage.inputs == inputs.training_digest
    assert lineage.of["hyperparameters"]["seed"] == 7
    assert lineage.of["data"] == {"own": inputs.data_digest, "packages": {}}
    assert lineage.of["libraries"]["torch"]
    assert lineage.place["threads"] == 1


@pytest.mark.slow
def test_the_files_of_the_image_are_enough_and_are_the_code_that_was_asked_for(
    project: Path, here: tuple[bytes, Lineage], tmp_path: Path
) -> None:
    """Nothing of ours but what the image holds, with the libraries of this machine."""
    inputs = training_folder.resolve_payments(project)
    for name, source in app(inputs).items():
        target = tmp_path / "app" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source.read_bytes())
    root = training_folder.fill(tmp_path / "ml", inputs)
    environment = {**os.environ, VARIABLE: str(root), "PYTHONPATH": str(tmp_path / "app")}
    command = [sys.executable, "-m", "modelpack.training"]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert brought(root)[0] == here[0]


def test_the_image_has_the_libraries_of_this_machine(project: Path) -> None:
    needs = requirements(training_folder.resolve_payments(project))
    for name in ("torch", "numpy", "pandas", "lightgbm", "annotated-types"):
        assert f"{name}=={version(name)}" in needs
    assert all("==" in one and "_" not in one.partition("==")[0] for one in needs)


def test_libraries_that_name_one_another_are_found_by_the_loader(tmp_path: Path) -> None:
    """torch's of CUDA and those that auditwheel puts beside a package: without their folders the image was refused."""
    held = (
        "nvidia/cu13/lib/libcublas.so.13",
        "nvidia/cu13/bin/tool",
        "scipy.libs/libx-1.so.0",
        "torch/lib/libc10.so",
    )
    wheel = tiny_parts.wheel(tmp_path, dict.fromkeys(held, b""), "everything")
    deps = "/opt/ecomdeploy/deps"
    found = tell_folders([wheel], tmp_path)
    assert found == {"LD_LIBRARY_PATH": f"{deps}/nvidia/cu13/lib:{deps}/scipy.libs"}
    assert tell_folders([tiny_parts.wheel(tmp_path, {"a.py": b""}, "plain")], tmp_path) == {}


@pytest.mark.slow
@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_at_any_moment_it_ends_with_the_same_bytes(
    project: Path, here: tuple[bytes, Lineage], tmp_path: Path, moment: int
) -> None:
    root = training_folder.fill(tmp_path / "ml", training_folder.resolve_payments(project))
    kill(root, moment)
    assert not TrainingFolders(root).model.exists() or not list(TrainingFolders(root).model.iterdir())
    assert train(root) == 0
    assert brought(root)[0] == here[0]


@pytest.mark.slow
def test_a_killed_training_here_goes_on_too(
    project: Path, here: tuple[bytes, Lineage], tmp_path: Path
) -> None:
    """Its checkpoints lie beside where the model will be, and what is done is not done again."""
    home, inputs = Home(tmp_path, tmp_path / "cache"), training_folder.resolve_payments(project)
    data, _ = prepare_data(inputs, home, Silent())
    root = training_folder.fill(tmp_path / "ml", inputs)
    kill(root, 4)
    name = inputs.training_digest.removeprefix("sha256:")
    TrainingFolders(root).checkpoints.rename(made(home.models) / f"{name}.work")
    path, _ = train_or_reuse(inputs, data, home, Silent())
    assert path.read_bytes() == here[0]


@pytest.mark.slow
def test_a_damaged_checkpoint_is_told_and_trained_again(
    project: Path, here: tuple[bytes, Lineage], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = training_folder.fill(tmp_path / "ml", training_folder.resolve_payments(project))
    kill(root, 4)
    for each in TrainingFolders(root).checkpoints.iterdir():
        each.write_bytes(each.read_bytes()[:-3] + b"abc")
    assert train(root) == 0
    assert "is damaged" in capsys.readouterr().out
    assert brought(root)[0] == here[0]


@pytest.mark.slow
def test_a_job_that_is_told_to_stop_stops_and_goes_on(
    project: Path, here: tuple[bytes, Lineage], tmp_path: Path
) -> None:
    root = training_folder.fill(tmp_path / "ml", training_folder.resolve_payments(project))
    environment = {**os.environ, VARIABLE: str(root)}
    with subprocess.Popen([sys.executable, "-m", "modelpack.training"], env=environment) as process:
        wait_for(lambda: TrainingFolders(root).checkpoints.exists())
        process.terminate()
        assert process.wait() in (143, 0)  # 0: it had just ended
    assert not TrainingFolders(root).failure.exists()
    assert train(root) == 0
    assert brought(root)[0] == here[0]


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"code": "sha256:0", "inputs": "sha256:0"}, "other code than asked for it"),
        ({"seed": "8"}, "not those that were asked for"),
        ({"batch": "8"}, "unknown hyperparameters: batch"),
        ({"epochs": "many"}, "hyperparameters: invalid literal"),
        ({"usecase": "frauds"}, "did you mean 'fraud'?"),
        ({"data": "data/none.csv"}, "there is no such data"),
    ],
)
def test_why_it_failed_is_left_in_words(
    project: Path, tmp_path: Path, changed: dict[str, str], words: str
) -> None:
    root = training_folder.fill(tmp_path / "ml", training_folder.resolve_payments(project), **changed)
    assert train(root) == 1
    assert words in TrainingFolders(root).failure.read_text()


def test_several_hosts_are_refused(project: Path, tmp_path: Path) -> None:
    root = training_folder.fill(tmp_path / "ml", training_folder.resolve_payments(project))
    hosts = {"current_host": "algo-1", "hosts": ["algo-1", "algo-2"]}
    (root / "input" / "config" / "resourceconfig.json").write_text(json.dumps(hosts))
    assert train(root) == 1
    assert "2 hosts" in TrainingFolders(root).failure.read_text()


@pytest.mark.parametrize("content", [b"", b"[]", b'{"seed": 7}', b"[" * 100_000])
def test_hyperparameters_that_are_none(tmp_path: Path, content: bytes) -> None:
    folders = TrainingFolders(tmp_path)
    with pytest.raises(BadInput, match="it cannot be read"):
        folders.hyperparameters()
    made(tmp_path / "input" / "config")
    (tmp_path / "input" / "config" / "hyperparameters.json").write_bytes(content)
    with pytest.raises(BadInput):
        folders.hyperparameters()


def test_what_is_asked_comes_back_as_it_was(project: Path) -> None:
    asked = AskedTraining.of(training_folder.resolve_payments(project, seed=11))
    assert AskedTraining.read(asked.write()) == asked
    assert all(isinstance(one, str) for one in asked.write().values())


def test_a_place_is_asked_once_and_what_it_brings_is_held_against_its_lineage(
    project: Path, here: tuple[bytes, Lineage], tmp_path: Path
) -> None:
    home, inputs = Home(tmp_path, tmp_path / "cache"), training_folder.resolve_payments(project)
    place = FakePlace(here[0])
    for _ in range(2):
        path, lineage = train_or_reuse(inputs, None, home, Silent(), place)
        assert path.read_bytes() == here[0]
        assert lineage is not None
        assert lineage.place["job"] == "fake-1"
    assert place.asked == 1


def test_another_model_than_the_lineage_names_is_refused(project: Path, tmp_path: Path) -> None:
    home, inputs = Home(tmp_path, tmp_path / "cache"), training_folder.resolve_payments(project)

    class Lying(FakePlace):
        def train(self, inputs: Inputs, home: Home, folder: Path, progress: Any) -> Lineage:
            found = super().train(inputs, home, folder, progress)
            (folder / "model.safetensors").write_bytes(b"other")
            return found

    with pytest.raises(EcomdeployError, match="it is damaged"):
        train_or_reuse(inputs, None, home, Silent(), Lying(b"model"))
    assert not list(home.models.glob("*.safetensors"))


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"format": 2}', b'{"format": 1, "inputs": 3}'])
def test_a_strangers_lineage(content: bytes) -> None:
    with pytest.raises(EcomdeployError, match="is no lineage"):
        read_lineage(content, "model.tar.gz")


def test_parts_of_a_training_have_files_of_their_own(tmp_path: Path) -> None:
    kept: list[str] = []
    first = KeptCheckpoints(tmp_path / "of", on_kept=kept.append)
    first.keep("epochs", b"1")
    first.within("candidate-0").keep("epochs", b"2")
    assert first.load("epochs") == b"1"
    assert first.within("candidate-0").load("epochs") == b"2"
    assert first.within("candidate-1").load("epochs") is None
    assert kept == ["epochs", "epochs"]


def made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
