"""A user's own model in an empty folder: at most 40 lines of his, a foreign ONNX file, live; and his slips."""

from __future__ import annotations

from pathlib import Path

import pytest
from counted import takes_no_more
from own_shop import write_model, write_shop
from typed import Terminal
from uploads import set_up

from modelpack.home import Home

SPEC = """\
version: 1
service: shelves
usecase: ./shop.py:ShopRecs
model: {path: model.onnx}
"""
LONGEST = 40


@pytest.mark.nightly(
    like="tests/scenarios/test_without_torch.py::test_a_model_of_ones_own_goes_live_and_back"
)
@pytest.mark.slow
@pytest.mark.network
def test_a_foreign_model_with_a_metric_of_ones_own_goes_live(terminal: Terminal, repository: Path) -> None:
    """The example of the README: Google's Magika tells what a seller uploads."""
    cache = Path(terminal.environment["ECOMDEPLOY_CACHE"])
    set_up(repository / "examples" / "uploads", terminal.folder, Home(terminal.home, cache))
    lines = (terminal.folder / "shop.py").read_text().splitlines()
    assert len(lines) <= LONGEST
    done = terminal.type("up", "--yes", "--json").json
    assert (done["state"], done["verified"]) == ("live", True)
    record = done["record"]
    assert record["metric"]["name"] == "accuracy"
    assert record["baselines"][0]["ahead"]["low"] > 0
    assert record["provenance"]["model_from"] == "model.onnx"
    assert {one["name"] for one in record["passes"]} == {"embedding-int8", "int8"}
    (data,) = record["data"]
    assert data["rows"] == {"requests": record["metric"]["requests"]}
    assert len(data["sha256"]) == 64
    again = terminal.type("up", "--yes", "--json").json
    assert again["outcome"] == "nothing to do"
    for line in ("--help", "status", "predict", "plan", "up --yes"):
        takes_no_more(terminal, line)
    predicted = terminal.type("predict", "--json").json
    scores = predicted["predictions"][0]["target_label"]
    assert len(scores) == 214
    assert predicted["before"] == ["known to be right: csv"]
    assert "the highest of 214" in terminal.type("predict").out
    terminal.edit(r'metric_name = "accuracy"', 'metric_name = "share told"', "shop.py")
    changed = terminal.type("plan", "--json").json
    assert changed["push_bytes"] is None, "another shop.py is another pack"


@pytest.fixture
def own(terminal: Terminal) -> Terminal:
    """An own model that would go live."""
    write_shop(terminal.folder)
    write_model(terminal.folder / "model.onnx")
    (terminal.folder / "ecomdeploy.yaml").write_text(SPEC)
    return terminal


SLIPS = {
    "no file of that name": ("ecomdeploy.yaml", "shop.py", "shops.py", "no such file", "did you mean shop.py?"),
    "no class": ("ecomdeploy.yaml", "shop.py:ShopRecs", "shop.py", "unknown use case", "./shop.py:ClassName"),
    "no path": ("ecomdeploy.yaml", r"\./shop.py", "shop.py", "unknown use case", "write ./shop.py:ShopRecs"),
    "another class": ("ecomdeploy.yaml", "ShopRecs", "ShopRec", "has no 'ShopRec'", "did you mean 'ShopRecs'?"),
    "no model": ("ecomdeploy.yaml", "^model: .*", "", "trains nothing", "model: {path: model.onnx}"),
    "no model file": ("ecomdeploy.yaml", "model.onnx", "gone.onnx", "no such model file", "relative to the project"),
    "no data": ("ecomdeploy.yaml", "^model:", "data: {path: gone}\nmodel:", "no such file or folder", "relative"),
    "a metric of one": ("shop.py", "answers, truths", "answers", "shop.py:16: metric() must take", "answers, truths"),
    "a failing import": ("shop.py", "^import numpy", "import nunpy\nimport numpy", "shop.py:2", ""),
    "no metric": ("shop.py", "def metric", "def metrics", "lacks metric()", ""),
}  # fmt: skip


@pytest.mark.parametrize("slip", SLIPS)
def test_a_slip_is_told_before_anything_runs(own: Terminal, slip: str) -> None:
    file, old, new, words, hint = SLIPS[slip]
    own.edit(old, new, file)
    typed = own.type("pack", "--json", expect=2)
    error = typed.json["error"]
    assert words in error["what"]
    assert hint in error["what"] + error["hint"]
    assert "Preparing" not in typed.err


LATER = {
    "a mean": (
        "return answers(.*) == truths",
        r"return (answers\1 == truths).mean()",
        "metric() answered one number",
    ),
    "another shape": ("rows}, rows", "rows[:, :5]}, rows", "each request has the shape [5]"),
    "requests that raise": ("        rows = ", "        rows = 1 / 0 + ", "shop.py:13: requests() raised ZeroDiv"),
    "unequal lengths": (r"rows\[:, :3\]", "rows[:9, :3]", "features' 60, truths 9"),
}  # fmt: skip


@pytest.mark.parametrize("slip", LATER)
def test_a_slip_in_what_runs_is_told_with_its_line(own: Terminal, slip: str) -> None:
    old, new, words = LATER[slip]
    own.edit(old, new, "shop.py")
    typed = own.type("pack", "--json", expect=2)
    assert words in typed.json["error"]["what"]
    assert "shop.py:" in typed.json["error"]["what"]
