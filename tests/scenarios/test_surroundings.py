"""What surrounds a live service: the shell's variables, its files, the disk they lie on, what others put there."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typed import Terminal

pytestmark = pytest.mark.slow

DEAD = "http://127.0.0.1:9"
SHELLS: dict[str, dict[str, str]] = {
    "a profile and places of others": {
        "AWS_PROFILE": "nope",
        "AWS_SESSION_TOKEN": "x",
        "AWS_CONFIG_FILE": "/nope",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://169.254.170.2/x",
    },
    "endpoints of others": {
        "AWS_ENDPOINT_URL": "https://real.example",
        "AWS_ENDPOINT_URL_SAGEMAKER": "https://real.example",
        "AWS_ENDPOINT_URL_S3": "https://s3.example",
    },
    "FIPS": {"AWS_USE_FIPS_ENDPOINT": "true"},
    "two stacks of the internet protocol": {"AWS_USE_DUALSTACK_ENDPOINT": "true"},
    "a bundle that is not there": {"AWS_CA_BUNDLE": "/nope.pem"},
    "attempts that are no number": {"AWS_MAX_ATTEMPTS": "abc"},
    "the SDK's other settings": {
        "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
        "AWS_S3_DISABLE_MULTIREGION_ACCESS_POINTS": "true",
        "AWS_SIGV4A_SIGNING_REGION_SET": "x",
        "AWS_DEFAULTS_MODE": "legacy",
    },
    "a proxy that is dead": dict.fromkeys(
        ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY", "grpc_proxy"), DEAD
    )
    | {"no_proxy": "", "NO_PROXY": ""},
    "ASCII": {"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "another time": {"TZ": "Asia/Kathmandu"},
    "warnings as errors": {"PYTHONWARNINGS": "error"},
    "Pulumi elsewhere": {
        "PULUMI_BACKEND_URL": "s3://elsewhere",
        "PULUMI_CONFIG_PASSPHRASE": "other",
        "PULUMI_ACCESS_TOKEN": "x",
        "PULUMI_STACK": "zz",
        "PULUMI_HOME": "/nope",
    },
}


@pytest.fixture
def live(shop: Terminal) -> Terminal:
    """Release 1 serves."""
    shop.type("up", "--json")
    return shop


def change(shop: Terminal, word: str) -> None:
    """Another release of the same pack."""
    shop.edit(
        r"^  instance: (ml\S+).*(\n  environment: .*)?$", rf"  instance: \1\n  environment: {{V: {word}}}"
    )


@pytest.mark.nightly(
    like="tests/cli/test_machine_words.py::test_warnings_that_are_made_errors_end_no_command"
)
def test_a_shell_of_any_kind_changes_nothing(live: Terminal) -> None:
    """All of them at once; another release goes live there, in which every part of a rollout has its turn."""
    there = replace(live, variables={name: value for each in SHELLS.values() for name, value in each.items()})
    assert there.type("up", "--json").json["outcome"] == "nothing to do"
    change(live, "shell")
    assert there.type("plan", "--json").json["release"] == 2
    done = there.type("up", "--json").json
    assert (done["release"], done["verified"]) == (2, True)
    assert there.type("predict", "--json").json["release"] == 2
    assert there.type("rollback", "--yes", "--json").json["restores"] == 1
    assert there.type("status", "--json").json["verified"]


DAMAGES: dict[str, tuple[str, str, bytes | None, tuple[str, ...], int, str]] = {
    "an empty event": ("ledger/events/*", "-1", b"", ("up", "status", "releases"), 1, "is empty"),
    "an event that is lost": ("ledger/events/*", "1", None, ("up", "status", "releases"), 1, "is missing"),
    "an empty claim": ("driver.json", "0", b"", ("up", "plan", "status"), 2, "driver.json is damaged"),
    "half a lease": (
        "lease.json",
        "0",
        b'{"token": "x"',
        ("up",),
        0,
        "took over a lease that nobody can read",
    ),
    "no passphrase": ("passphrase", "0", None, ("up", "plan", "status"), 0, ""),
    "an empty checkpoint": (
        *("pulumi/.pulumi/stacks/ecomdeploy-service/shop-local.json", "0", b""),
        *(("up", "plan"), 1, "is not JSON"),
    ),
}


def test_a_damaged_file_is_named_and_what_serves_stays(live: Terminal, tmp_path: Path) -> None:
    state, kept = live.folder / ".ecomdeploy", tmp_path / "kept"
    shutil.copytree(state, kept)
    for name, (pattern, which, content, verbs, code, words) in DAMAGES.items():
        file = sorted((state / "local").glob(pattern))[int(which)]
        file.unlink() if content is None else file.write_bytes(content)
        for verb in verbs:
            done = live.type(verb, *(() if verb == "releases" else ("--json",)), expect=code)
            assert words in done.err, (name, verb)
            assert code == 0 or file.name in done.err, (name, verb)
            assert "fault in ecomdeploy" not in done.err
        shutil.rmtree(state)
        shutil.copytree(kept, state)
    assert live.type("up", "--json").json["outcome"] == "nothing to do"


@pytest.mark.nightly(like="test_a_damaged_file_is_named_and_what_serves_stays")
def test_an_event_of_a_newer_version_is_refused(live: Terminal) -> None:
    events = live.folder / ".ecomdeploy" / "local" / "ledger" / "events"
    number = len(list(events.iterdir())) + 1
    event = {
        "kind": "annotated",
        "sequence": number,
        "token": 1,
        "at": "2026-11-28T11:00:00+00:00",
        "note": "x",
    }
    (events / f"{number:08d}.json").write_text(json.dumps(event))
    for verb in ("releases", "up"):
        assert "update this one" in live.type(verb, expect=1).err


@pytest.mark.nightly(like="test_a_damaged_file_is_named_and_what_serves_stays")
def test_a_checkpoint_that_is_lost_comes_back_as_it_is_told(live: Terminal) -> None:
    checkpoint = live.folder / ".ecomdeploy/local/pulumi/.pulumi/stacks/ecomdeploy-service/shop-local.json"
    change(live, "a")
    live.type("up")
    checkpoint.write_bytes(b"")
    (told,) = [part for part in live.type("plan", expect=1).err.splitlines() if "cp '" in part]
    subprocess.run(["sh", "-c", "cp " + told.partition("cp ")[2]], check=True)
    assert live.type("up", "--json").json["verified"]
    assert live.type("plan", "--json").json["changes"] == []


@pytest.mark.nightly(like="test_a_damaged_file_is_named_and_what_serves_stays")
def test_a_project_may_lie_anywhere(live: Terminal) -> None:
    """By a link; below spaces and letters, and a mask that gives others nothing."""
    link = live.folder.with_name("link")
    link.symlink_to(live.folder)
    assert replace(live, folder=link).type("plan", "--json").json["changes"] == []
    moved = replace(live, folder=live.folder.with_name("mein L\u00e4den \u2713"))
    live.folder.rename(moved.folder)
    live.folder.mkdir()
    change(moved, '"\u00fc\u2713"')
    assert moved.type("up", "--json").json["release"] == 2
    assert moved.type("rollback", "--yes", "--json").json["restores"] == 1


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """600 kB, which only root can mount, and not everywhere."""
    (place := tmp_path / "small").mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", str(place)], check=False)
    if mounted.returncode:
        pytest.skip("nothing can be mounted here")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def fill(disk: Path, left: int) -> None:
    """Leave so many bytes."""
    (disk / "filler").unlink(missing_ok=True)
    free = shutil.disk_usage(disk).free
    (disk / "filler").write_bytes(bytes(max(0, free - left)))


def test_a_full_disk_is_the_machines_and_the_next_run_goes_on(live: Terminal, small_disk: Path) -> None:
    shutil.copytree(live.folder, small_disk / "shop")
    there = replace(live, folder=small_disk / "shop")
    shutil.rmtree(live.folder)
    live.folder.mkdir()
    change(there, "full")
    for left in (0, 4096, 16384, 24576):
        fill(small_disk, left)
        done = there.type("up", expect=None)
        assert done.code in (0, 1), (left, done.err)
        assert done.code == 0 or f"No space left on device: {small_disk}" in done.err, (left, done.err)
        assert "fault in ecomdeploy" not in done.err
        assert there.type("status", "--json", expect=None).json["state"] == "live"
    (small_disk / "filler").unlink()
    assert there.type("up", "--json").json["verified"]
    assert there.type("plan", "--json").json["changes"] == []
    states = [each["state"] for each in there.type("releases", "--json").json]
    assert states.count("live") == 1


@pytest.mark.nightly(like="tests/infra/test_bucket_contents.py::test_all_pages_go_in_batches_that_s3_takes")
def test_a_bucket_and_a_repository_that_others_filled_go_with_down_all(live: Terminal) -> None:
    """More versions and delete markers than S3 lists at once; images and a policy by hand."""
    s3, ecr, iam = live.client("s3"), live.client("ecr"), live.client("iam")
    fill_bucket(s3, "shop-local-123456789012")
    images = ecr.list_images(repositoryName="shop-local")["imageIds"]
    (image, *_) = ecr.batch_get_image(repositoryName="shop-local", imageIds=images[:1])["images"]
    for tag in ("dev", "keep-me"):
        ecr.put_image(repositoryName="shop-local", imageManifest=image["imageManifest"], imageTag=tag)
    everything = json.dumps(
        {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}
    )
    iam.put_role_policy(RoleName="shop-local-serving", PolicyName="by-hand", PolicyDocument=everything)
    assert live.type("down", "--all", "--yes", "--json").json["remaining"] == []
    assert s3.list_buckets()["Buckets"] == []
    assert ecr.describe_repositories()["repositories"] == []
    assert iam.list_roles()["Roles"] == []
    assert live.type("down", "--all", "--yes", "--json").json["changes"] == []
    done = live.type("up", "--json").json
    assert (done["release"], done["verified"]) == (2, True)


def fill_bucket(s3: Any, bucket: str) -> None:
    for number in range(1105):
        s3.put_object(Bucket=bucket, Key=f"other/{number}", Body=b"x")
    for number in range(20):
        s3.put_object(Bucket=bucket, Key="other/1", Body=b"y")
        s3.delete_object(Bucket=bucket, Key=f"other/{number}")
