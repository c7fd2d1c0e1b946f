"""Result files by slice: nothing of other code stays, a failed slice is not there, and who is best is said rightly."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks._slices import kept, take
from benchmarks.optimize import standing
from benchmarks.usecases import figures


def read(folder: Path) -> dict[str, Any]:
    figures: dict[str, Any] = json.loads((folder / "made.json").read_text())["figures"]
    return figures


def test_slices_gather_in_one_file_with_code_and_tools(tmp_path: Path) -> None:
    assert kept("made", tmp_path) == {}
    assert take("made", ["b", "a"], lambda key: {"rows": len(key)}, ["no-such-tool"], tmp_path) == 0
    figures = read(tmp_path)
    assert list(figures) == ["a", "b"]
    assert figures["a"]["rows"] == 1
    assert figures["a"]["versions"]["no-such-tool"] is None
    assert figures["a"]["versions"]["torch"]
    assert kept("made", tmp_path) == figures


def test_what_other_code_measured_is_not_carried_over(tmp_path: Path) -> None:
    take("made", ["a"], lambda key: {}, results=tmp_path)
    document = json.loads((tmp_path / "made.json").read_text())
    document["figures"]["a"]["code"] = "sha256:other"
    (tmp_path / "made.json").write_text(json.dumps(document))
    assert kept("made", tmp_path) == {}
    take("made", ["b"], lambda key: {}, results=tmp_path)
    assert list(read(tmp_path)) == ["b"]


def test_a_failed_slice_is_told_and_not_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def measure(key: str) -> dict[str, Any]:
        if key == "bad":
            raise ValueError("no data")
        return {}

    assert take("made", ["bad", "good"], measure, results=tmp_path) == 1
    assert list(read(tmp_path)) == ["good"]
    assert "bad failed: ValueError('no data')" in capsys.readouterr().err


def row(throughput: float, latency: float, keeps: bool = True, spread: float = 0.1) -> dict[str, Any]:
    def ratio(median: float) -> dict[str, float]:
        return {"median": median, "low": median - spread, "high": median + spread}

    return {"throughput": ratio(throughput), "latency": ratio(latency), "keeps_the_gate": keeps}


def test_the_best_peer_is_the_one_ours_gains_least_over_and_that_keeps_the_gate() -> None:
    rows = {
        "eager": row(2.5, 4.0),
        "fast": row(0.8, 1.05),
        "careless": row(0.1, 0.1, keeps=False),
        "broken": {"failed": "it does not load"},
    }
    assert standing(rows) == {
        "best_peer_by_throughput": "fast",
        "worse_by_throughput": True,
        "best_peer_by_latency": "fast",
        "worse_by_latency": False,
    }


def test_a_ratio_that_could_be_one_is_not_called_worse() -> None:
    assert not standing({"tie": row(0.95, 0.95)})["worse_by_throughput"]


def test_figures_of_a_record_are_its_own_and_their_ratios() -> None:
    def point(rows: float, milliseconds: float, size: float) -> dict[str, Any]:
        return {
            "metric": 0.5,
            "p50_ms": milliseconds,
            "rows_per_cpu_s": rows,
            "size_mb": size,
            "hardware": "a bench",
        }

    record = {
        "metric": {"name": "AUC", "value": 0.5, "low": 0.4, "high": 0.6, "baseline": 0.3},
        "baselines": [
            {"name": "rule", "about": "-", "value": 0.3, "low": 0.2, "high": 0.4, "ahead": {"value": 0.2}}
        ],
        "reference": point(100.0, 4.0, 10.0),
        "chosen": point(250.0, 2.0, 2.5),
        "passes": [
            {"name": "int8", "kept": True, "reason": "2.5x"},
            {"name": "prune", "kept": False, "reason": "harms"},
        ],
        "runtime": "onnxruntime",
    }
    found = figures(record)
    assert found["times"] == {"rows_per_cpu_s": 2.5, "p50_ms": 2.0, "size_mb": 0.25}
    assert found["passes"] == ["int8"]
    assert found["dropped"] == {"prune": "harms"}
    assert found["baselines"] == [{"name": "rule", "value": 0.3, "ahead": {"value": 0.2}}]
    assert found["served"]["size_mb"] == 2.5
