"""`schema` and `init` for what is a user's own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cli import app
from infra.targets.sagemaker.target import SageMaker
from modelpack.errors import BadInput
from modelpack.usecases.base import usecases
from modelpack.usecases.optional.own_tables import own_data_of
from stacks.reading.load import load
from stacks.spec import KnownNames


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECOMDEPLOY_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("ECOMDEPLOY_TRACE", raising=False)
    monkeypatch.chdir(tmp_path)


TAKING = [name for name in usecases().names() if own_data_of(usecases().get(name))]


def test_the_docs_list_what_takes_own_data(repository: Path) -> None:
    section = (repository / "docs" / "usecases.md").read_text().split("## Your own data")[1].split("\n## ")[0]
    listed = [line.split("|")[1].strip() for line in section.splitlines() if line.startswith("| ")]
    assert sorted(set(listed) - {"Use case"}) == TAKING


@pytest.mark.parametrize("name", TAKING)
def test_schema_prints_every_column(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["schema", name, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert app.run(["schema", name]) == 0
    words = capsys.readouterr().out
    for table in told["tables"]:
        left_out = "" if table["required"] else " (may be left out)"
        assert f"{table['name']}{left_out}: " in words
        assert all(one["name"] in words for one in table["columns"] if not one["name"][-1].isdigit())
    assert "data: {path:" in words


def test_schema_of_what_takes_none_and_of_the_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["schema", "chat"]) == 2
    assert "these do: fraud" in capsys.readouterr().err
    assert app.run(["schema", "fruad"]) == 2
    assert "fraud" in capsys.readouterr().err
    assert app.run(["schema"]) == 0
    assert "path" in json.loads(capsys.readouterr().out)["$defs"]["DataSpec"]["properties"]


def test_init_of_ones_own_writes_what_is_not_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "best.onnx").write_bytes(b"")
    assert app.run(["init", "./shop.py:ShopRecs", "mine"]) == 0
    assert "shop.py" in capsys.readouterr().out
    text = (tmp_path / "mine" / "shop.py").read_text()
    assert "class ShopRecs(OwnModel)" in text
    compile(text, "shop.py", "exec")
    nothing: frozenset[str] = frozenset()
    known = KnownNames(usecases=nothing, targets={"sagemaker": SageMaker()}, passes=nothing)
    spec = load(tmp_path / "mine" / "ecomdeploy.yaml", "local", known)
    assert (spec.service, spec.usecase, spec.model.path) == ("mine", "./shop.py:ShopRecs", "best.onnx")
    (tmp_path / "mine" / "ecomdeploy.yaml").unlink()
    (tmp_path / "mine" / "shop.py").write_text("mine\n")
    assert app.run(["init", "./shop.py:ShopRecs", "mine"]) == 0
    assert (tmp_path / "mine" / "shop.py").read_text() == "mine\n"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("trees.json", b'{"learner":{"attributes":{}}}'),
        ("trees.txt", b"tree\nversion=v4\n"),
        ("sums.pt2", b"PK"),
        ("saved/saved_model.pb", b"\x08\x01"),
        ("classifier/config.json", b"{}"),
    ],
)
def test_init_finds_the_one_model_that_lies_there(tmp_path: Path, name: str, content: bytes) -> None:
    folder = tmp_path / "mine"
    (folder / name).parent.mkdir(parents=True)
    (folder / name).write_bytes(content)
    (folder / "package.json").write_text('{"name": "shop"}')
    (folder / "notes.txt").write_text("trees are models too")
    assert app.run(["init", "./shop.py:ShopRecs", "mine"]) == 0
    assert f"path: {Path(name).parts[0]} " in (folder / "ecomdeploy.yaml").read_text()


def test_init_finds_the_model_beside_the_use_case_s_file(tmp_path: Path) -> None:
    (tmp_path / "shop ü" / "code").mkdir(parents=True)
    (tmp_path / "shop ü" / "code" / "best.onnx").write_bytes(b"")
    assert app.run(["init", "./code/shop.py:ShopRecs", "shop ü"]) == 0
    assert "path: code/best.onnx " in (tmp_path / "shop ü" / "ecomdeploy.yaml").read_text()


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["a.onnx", "b.pt2"], "2 models lie there (a.onnx, b.pt2): name yours in model.path."),
        (["best.pkl"], "If best.pkl is your model, save it otherwise: a pickle runs code"),
        (["best.UBJ"], "save it otherwise: XGBoost: booster.save_model('model.json')"),
    ],
)
def test_init_says_why_it_names_no_model_of_yours(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], names: list[str], words: str
) -> None:
    (tmp_path / "mine").mkdir()
    for name in names:
        (tmp_path / "mine" / name).write_bytes(b"PK")
    assert app.run(["init", "./shop.py:ShopRecs", "mine"]) == 0
    assert words in capsys.readouterr().out
    assert "path: model.onnx " in (tmp_path / "mine" / "ecomdeploy.yaml").read_text()


def test_init_of_no_class_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("./shop.py", "./shop.txt:Shop", "shop.py:Shop"):
        assert app.run(["init", name, "mine"]) == 2
        assert "./shop.py:Shop" in capsys.readouterr().err
        assert not (tmp_path / "mine").exists()


def test_the_summary_of_pack_says_whose_answers_were_the_reference() -> None:
    from cli.commands.pack import held_against

    by = {"by": "xgboost 3.2.0", "requests": 512, "largest_difference": {"p": 6e-8}}
    nobody = {"by": None, "because": "lightgbm, which wrote it, is not installed here"}
    trained = {"by": "the model as it was trained here", "requests": 0, "largest_difference": {}}
    assert held_against({"fidelity": [by]}) == ["reference: xgboost 3.2.0, on 512 requests"]
    assert held_against({"fidelity": [nobody]}) == [f"no reference: {nobody['because']}"]
    assert held_against({"fidelity": [trained]}) == []
    assert held_against({}) == [], "a record of an earlier version"


@pytest.mark.parametrize(
    ("share", "words"), [("0.001", ""), ("0.5", "data.unreadable"), ("-1", "data.unreadable")]
)
def test_the_spec_may_allow_a_share_of_unreadable_rows(tmp_path: Path, share: str, words: str) -> None:
    assert app.run(["init", "pricing", "mine"]) == 0
    spec = tmp_path / "mine" / "ecomdeploy.yaml"
    text = spec.read_text()
    assert "# data:" in text
    spec.write_text(text.replace("# data:", f"data: {{path: sales.csv, unreadable: {share}}}  #", 1))
    targets = {"sagemaker": SageMaker()}
    known = KnownNames(usecases=frozenset({"pricing"}), targets=targets, passes=frozenset())
    if words:
        with pytest.raises(BadInput, match=words):
            load(spec, "local", known)
        return
    data = load(spec, "local", known).data
    assert data is not None
    assert data.unreadable == 0.001
