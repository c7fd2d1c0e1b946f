"""What is the machine's is said as such; a proxy is never asked for what is on this machine."""

from __future__ import annotations

import errno
import json
import os
import resource
import subprocess
import sys
import urllib.request
import warnings
from collections.abc import Callable
from pathlib import Path

import botocore.utils
import pytest

from cli import show
from cli.app import name_verb, spare_loopback, spare_warnings
from modelpack.home import write_atomically
from modelpack.image.oci.layout import Layout
from stacks.records.store import FolderStore


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EDQUOT])
def test_the_machines_refusals_name_the_path(number: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert show.machine(OSError(number, "words", "/var/shop/.ecomdeploy/ledger"), as_json=True)
    out, err = capsys.readouterr()
    assert "/var/shop/.ecomdeploy/ledger" in err
    assert "fault in ecomdeploy" not in err
    assert json.loads(out)["error"]["exit_code"] == 1


WRITERS: dict[str, Callable[[Path, bytes], object]] = {
    "a small file": write_atomically,
    "a durable file": lambda path, data: write_atomically(path, data, durable=True),
    "a record": lambda path, data: FolderStore(path.parent).write(path.name, data, was=None),
    "a blob": lambda path, data: Layout(path.parent).put(data),
}


@pytest.mark.parametrize("writer", WRITERS)
def test_a_write_that_the_machine_refuses_half_way_names_the_file(writer: str, tmp_path: Path) -> None:
    """The kernel's own refusal, by the size that a file may have: like a full disk's it comes without a name."""
    (folder := tmp_path / "a").mkdir()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, before[1]))
    try:
        with pytest.raises(OSError, match="too large") as refused:
            WRITERS[writer](folder / "file", bytes(2 << 20))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert str(refused.value.filename).startswith(str(folder))


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM])
def test_owner_and_mode_are_of_a_file(number: int, capsys: pytest.CaptureFixture[str]) -> None:
    show.machine(OSError(number, "words"), as_json=False)
    assert "owner" not in capsys.readouterr().err
    show.machine(OSError(number, "words", "/var/shop"), as_json=False)
    assert "change its owner or mode" in capsys.readouterr().err


def test_another_error_is_not_the_machines(capsys: pytest.CaptureFixture[str]) -> None:
    assert not show.machine(OSError(errno.EPIPE, "words"), as_json=False)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("line", "goes_on"),
    [
        ("up", True),
        ("up prod --yes", True),
        ("--json down", True),
        ("recover", True),
        ("platform up", True),
        ("platform --json down prod", True),
        ("platform plan", False),
        ("status", False),
        ("", False),
    ],
)
def test_an_interruption_says_only_what_is_true(
    line: str, goes_on: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    show.say_interrupted(as_json=False, verb=name_verb(line.split()))
    err = capsys.readouterr().err
    assert err.startswith("interrupted")
    assert ("goes on from here" in err) == goes_on
    assert ("keeps serving" in err) == line.startswith("up")


def test_loopback_is_spared_by_every_proxy() -> None:
    variables = {"HTTPS_PROXY": "http://proxy:3128", "no_proxy": "corp.example"}
    spare_loopback(variables)
    assert variables["no_proxy"] == "corp.example,127.0.0.1,localhost,::1"
    assert variables["NO_PROXY"] == variables["no_proxy"]
    without: dict[str, str] = {}
    spare_loopback(without)
    assert without == {}


@pytest.mark.parametrize("name", ["no_proxy", "NO_PROXY"])
def test_what_the_user_spares_is_spared_in_either_spelling(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for each in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(each, raising=False)
    variables = {"HTTPS_PROXY": "http://proxy:3128", name: ".corp"}
    spare_loopback(variables)
    for key, value in variables.items():
        monkeypatch.setenv(key, value)
    for host in ("s3.corp", "127.0.0.1", "localhost"):
        assert urllib.request.proxy_bypass(host), host
        assert botocore.utils.should_bypass_proxies(f"https://{host}"), host
    assert not urllib.request.proxy_bypass("s3.example")


@pytest.mark.parametrize("name", ["no_proxy", "NO_PROXY"])
def test_who_spares_everything_is_left_alone(name: str) -> None:
    variables = {"HTTPS_PROXY": "http://proxy:3128", name: "*"}
    spare_loopback(variables)
    assert variables == {"HTTPS_PROXY": "http://proxy:3128", name: "*"}


STRICT = """
import sys, warnings
from cli.app import spare_warnings
spare_warnings(variables := {"PYTHONWARNINGS": "error"})
warnings.warn("of another package", DeprecationWarning)
import pulumi_aws.s3.bucket_accelerate_configuration_v2
assert variables == {}
"""


def test_warnings_that_are_made_errors_end_no_command(repository: Path) -> None:
    """The rest of the command line's start is imported under them; pulumi_aws deprecates parts of itself when it is
    imported."""
    asked = [sys.executable, "-W", "error", "-c", STRICT]
    done = subprocess.run(asked, cwd=repository, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_other_wishes_about_warnings_are_kept() -> None:
    with warnings.catch_warnings():
        warnings.resetwarnings()
        warnings.simplefilter("default")
        spare_warnings(variables := {"PYTHONWARNINGS": "default"})
        assert variables == {"PYTHONWARNINGS": "default"}
        assert warnings.filters[0][0] == "default"


@pytest.mark.parametrize("locale", ["C", "POSIX"])
def test_every_locale_speaks_utf8(locale: str, repository: Path) -> None:
    """A pack, a record, a file of the user's: all were written elsewhere, and go elsewhere."""
    begun = "from cli.app import speak_utf8; speak_utf8(); import sys"
    script = f"{begun}; print(sys.flags.utf8_mode, chr(0x2713), sys.argv[1:])"
    ascii_only = {"LC_ALL": locale, "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run(
        [sys.executable, "-c", script, "a b", "--json"],
        cwd=repository,
        env={**os.environ, **ascii_only},
        capture_output=True,
        check=True,
    )
    assert done.stdout.decode() == "1 \u2713 ['a b', '--json']\n"
