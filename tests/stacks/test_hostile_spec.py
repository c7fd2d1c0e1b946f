"""Whatever stands in `ecomdeploy.yaml` is read in a moment, or refused in words: never a raw error, never a flood."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.catalogs import known_names
from modelpack.errors import BadInput
from modelpack.usecases.own_data.files import table_files, tables_digest
from stacks.reading.document import MOST_VALUES
from stacks.reading.load import load

BASE = "version: 1\nservice: shop\nusecase: fraud\n"
NINES = "9" * 5000
ALIASES = "a0: &a0 [x, x]\n" + "".join(f"a{at}: &a{at} [*a{at - 1}, *a{at - 1}]\n" for at in range(1, 60))
CASES: dict[str, tuple[str | bytes, str]] = {
    "lists in lists": (BASE + "data: " + "[" * 20_000 + "]" * 20_000, "nested deeper"),
    "maps in maps": (BASE + "data: " + "{a: " * 5_000 + "1" + "}" * 5_000, "nested deeper"),
    "dashes behind dashes": (BASE + "data:\n " + "- " * 5_000 + "x", "nested deeper"),
    "maps in maps, few enough to read": (BASE + "data: " + "{a: " * 30 + "1" + "}" * 30, "nested deeper"),
    "depth in an environment": (
        BASE + "environments: {local: {cloud: local, serve: " + "{a: " * 3_000 + "1" + "}" * 3_000 + "}}",
        "nested deeper",
    ),
    "aliases of aliases": (BASE + ALIASES, "aliases"),
    "an alias of itself": (BASE + "data: &a [*a]", "aliases"),
    "a map within itself": (BASE + "serve: &a {environment: *a}", "aliases"),
    "merges of merges": (
        BASE
        + "x: &x0 {a: 1}\n"
        + "".join(f"y{at}: &x{at} {{<<: [*x{at - 1}, *x{at - 1}]}}\n" for at in range(1, 40)),
        "aliases",
    ),
    "a number of 5,000 digits": (BASE + f"scale: {{min: {NINES}}}", "5,000 characters"),
    "a version of 5,000 digits": (f"version: {NINES}\nservice: shop\nusecase: fraud\n", "5,000 characters"),
    "a hexadecimal number": (BASE + "scale: {min: 0x" + "f" * 100_000 + "}", "characters"),
    "a number in a variable": (BASE + f"serve: {{environment: {{A: {NINES}}}}}", "5,000 characters"),
    "a number beyond any float": (BASE + "scale: {target_rps: 1e999999}", "finite"),
    "more replicas than there are": (BASE + "scale: {min: 1000000000000000000000, max: 2}", "at most"),
    "a time in base 60": (BASE + "scale: {min: " + "1:" * 3_000 + "1}", "whole number"),
    "a duration of 5,000 digits": (BASE + f"pack: {{passes: auto, budget: {NINES}m}}", "finite"),
    "a name with a zero byte": (BASE + 'model: {path: "a\\0.onnx"}', "no file can have such a name"),
    "a name that is too long": (BASE + "model: {path: " + "a" * 5_000 + ".onnx}", "no file can have"),
    "data with a name that is too long": (BASE + "data: {path: " + "a" * 300 + ".csv}", "no file can have"),
    "a use case with a zero byte": (BASE.replace("fraud", '"./a\\0.py:X"'), "no file can have"),
    "a command in a tag": (BASE + "data: !!python/object/apply:os.system ['true']", "the tag"),
    "bytes in a tag": (BASE + "data: !!binary aGVsbG8=", "the tag"),
    "many keys": (BASE + "".join(f"k{at}: 1\n" for at in range(20_000)), f"more than {MOST_VALUES:,} values"),
    "a mebibyte": (BASE + "data: '" + "x" * 2_000_000 + "'", "at most"),
    "no text": (b"\xff\xfe\x00", "UTF-8"),
    "a zero byte": (BASE.encode() + b"\0", "not valid YAML"),
    "another coding": (BASE.encode("utf-16"), "UTF-8"),
    "a key that is a list": (BASE + "? [a, b]\n: 1", "must be a word"),
    "two documents": (BASE + "---\n" + BASE, "another document"),
    "an unknown version of YAML": ("%YAML 9.9\n---\n" + BASE, "incompatible"),
}


@pytest.mark.parametrize("name", CASES)
def test_a_hostile_spec_is_refused_in_words(tmp_path: Path, name: str) -> None:
    content, words = CASES[name]
    file = tmp_path / "ecomdeploy.yaml"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(BadInput, match=words) as caught:
        load(file, "local", known_names())
    assert len(str(caught.value)) < 40_000
    assert all(len(problem.what) < 500 for problem in caught.value.problems)


def test_a_flood_of_mistakes_is_cut(tmp_path: Path) -> None:
    (tmp_path / "ecomdeploy.yaml").write_text(BASE + "".join(f"k{at}: 1\n" for at in range(300)))
    with pytest.raises(BadInput, match="and 200 more") as caught:
        load(tmp_path / "ecomdeploy.yaml", "local", known_names())
    assert len(caught.value.problems) == 101


@pytest.mark.parametrize("path", ["/", ".", "/dev/zero", "/proc/self/mem", "/dev/null"])
def test_data_that_is_none_is_refused_in_words(tmp_path: Path, path: str) -> None:
    with pytest.raises(BadInput):
        table_files(Path(path) if path != "." else tmp_path)


@pytest.mark.parametrize("path", ["/", "/proc", "/usr"])
def test_a_folder_of_half_the_machine_is_not_read(path: str) -> None:
    with pytest.raises(BadInput, match=r"more than 10,000 files|cannot be read"):
        tables_digest(Path(path))
