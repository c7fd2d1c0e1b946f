"""A lock is a file that a stranger may have written: no field of it is more than what it says it is."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelpack.assembly.assemble import read_packages
from modelpack.errors import BadInput
from modelpack.image.parts import Deb, Wheel
from modelpack.inputs.children import child_environment, module_command, pip_command

WHEEL = Wheel("numpy", "2.1.0", "numpy-2.1.0-cp311-cp311-manylinux_2_17_x86_64.whl", "0" * 64)
DEB = Deb("libc6", "2.36-9+deb12u10", "0" * 64, 100, "pool/main/g/glibc/libc6_2.36_amd64.deb", "bookworm")
URL = "evilpkg @ file:///tmp/evil-1.0.tar.gz --hash=sha256:" + "8" * 64 + "\n#"


@pytest.mark.parametrize("field", ["name", "version", "filename", "sha256"])
@pytest.mark.parametrize(
    "value",
    [
        URL,
        "",
        "a\nb",
        "a b",
        "--index-url=http://x",
        "../x.whl",
        "/x.whl",
        "a;b",
        "x\0",
        "\u0661",
        5,
        None,
        ["a"],
    ],
)
def test_a_wheel_s_fields_have_their_form(field: str, value: Any) -> None:
    with pytest.raises(BadInput, match=r"pack\.lock"):
        read_packages(Wheel, {"packages": [{**asdict(WHEEL), field: value}]})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("path", "../../etc/passwd.deb"),
        ("path", "pool/../../x.deb"),
        ("path", "//evil.example/x.deb"),
        ("path", "http://evil.example/x.deb\n"),
        ("path", "/x.deb"),
        ("name", "a b"),
        ("suite", "../x"),
        ("sha256", "0" * 63),
        ("sha256", "0" * 64 + "\n"),
        ("size", 10**400),
        ("size", -1),
        ("size", True),
        ("size", "1"),
    ],
)
def test_a_debian_package_s_fields_have_their_form(field: str, value: Any) -> None:
    with pytest.raises(BadInput, match=r"pack\.lock"):
        read_packages(Deb, {"packages": [{**asdict(DEB), field: value}]})


@pytest.mark.parametrize("content", [{}, {"packages": 5}, {"packages": [1]}, {"packages": [{"name": "a"}]}])
def test_a_damaged_section_is_bad_input(content: Any) -> None:
    with pytest.raises(BadInput, match="damaged"):
        read_packages(Wheel, content)


@given(st.text(max_size=40))
def test_what_passes_as_a_name_is_one_word(name: str) -> None:
    """Nothing that pip's requirement syntax gives a meaning to."""
    try:
        wheel = Wheel(name, "1", "a.whl", "0" * 64)
    except BadInput:
        return
    assert not set(wheel.name) & set(" \t\r\n@;#[]=<>~!,'\"\\/:$`")
    assert not wheel.name.startswith("-")


def test_good_ones_pass() -> None:
    assert read_packages(Wheel, {"packages": [asdict(WHEEL)]}) == (WHEEL,)
    assert read_packages(Deb, json.loads(json.dumps({"packages": [asdict(DEB)]}))) == (DEB,)


SHADOWS = ("json", "numpy", "modelpack", "pip", "infra", "sitecustomize", "usercustomize", "runpy")


@pytest.mark.parametrize("way", ["working folder", "PYTHONPATH"])
@pytest.mark.parametrize(
    "command",
    [
        pip_command("--version"),
        module_command("modelpack.inputs.children"),
        module_command("infra.rehearsal.cloud", "--help"),
    ],
    ids=["pip", "modelpack", "infra"],
)
def test_nothing_that_lies_about_runs_in_a_child(tmp_path: Path, way: str, command: list[str]) -> None:
    hit = tmp_path / "hit"
    for name in SHADOWS:
        (tmp_path / f"{name}.py").write_text(f"open({str(hit)!r}, 'a').write('{name} ')\n")
    given_variables = {**os.environ, **({"PYTHONPATH": str(tmp_path)} if way == "PYTHONPATH" else {})}
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env=child_environment(given_variables),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not hit.exists(), hit.read_text()


def test_every_child_python_is_started_that_way(repository: Path) -> None:
    """No command line of ours names the interpreter itself, but where it is isolated: for our own modules, for model
    servers, for what reads a stranger's model, for what becomes the local gateway's Envoy, and for the
    command itself, begun anew as it was begun."""
    rooms = [
        path for room in ("cli", "stacks", "infra", "modelpack") for path in (repository / room).rglob("*.py")
    ]
    named = {
        path.relative_to(repository).as_posix() for path in rooms if "sys.executable" in path.read_text()
    }
    assert named <= {
        "cli/app.py",
        "modelpack/inputs/children.py",
        "infra/rehearsal/cloud/kubernetes/gateway/proxy.py",
        "infra/rehearsal/cloud/servers/isolation.py",
        "modelpack/sources/sandbox/process.py",
    }
