"""`ecomdeploy score` beside a plain loop around ONNX Runtime: the same table, the same model file, CPU seconds of all
processes.

The loop reads Parquet, calls the session with as many rows as the server does in one call, and writes Parquet: no
server, no checks, no parts. Both begin anew in every round, in turns; a round's CPU seconds hold their starts.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.commands import Bench

ROWS, ROUNDS, SEED = 500_000, 5, 1
LOOP = """
import sys
import numpy as np, onnxruntime, pyarrow as pa, pyarrow.parquet as pq
model, table, out, cut = *sys.argv[1:4], int(sys.argv[4])
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
inputs = {one.name: one for one in session.get_inputs()}
outputs = [one.name for one in session.get_outputs()]
types = {"tensor(float)": np.float32, "tensor(int64)": np.int64}
def array(column, one):
    if len(one.shape) > 1:
        return column.flatten().to_numpy().astype(types[one.type]).reshape(len(column), -1)
    return column.to_numpy().astype(types[one.type])
writer = None
waiting = []
def write():
    global writer
    table = pa.concat_tables(waiting)
    writer = writer or pq.ParquetWriter(out, table.schema, compression="zstd")
    writer.write_table(table)
    waiting.clear()
for batch in pq.ParquetFile(table).iter_batches(4096, use_threads=False):
    feeds = {name: array(batch.column(name), one) for name, one in inputs.items()}
    parts = [session.run(None, {name: values[begin:begin + cut] for name, values in feeds.items()})
             for begin in range(0, batch.num_rows, cut)]
    answers = {name: pa.array(np.concatenate([part[place] for part in parts])) for place, name in enumerate(outputs)}
    waiting.append(pa.table({"order": batch.column("order"), **answers}))
    if len(waiting) == 32:
        write()
write() if waiting else None
writer.close()
"""


def measure() -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder) / "shop", Path(folder) / "home")
        bench.run("init", "fraud", "shop", cwd=Path(folder))
        text = (bench.folder / "ecomdeploy.yaml").read_text()
        (bench.folder / "ecomdeploy.yaml").write_text(text.replace("pack:\n", "pack:\n  passes: [onnx]\n", 1))
        _, _, packed = bench.run("pack")
        return compare(bench, packed["image"])


def compare(bench: Bench, image: str) -> dict[str, Any]:
    """Both in turns; how many rows a CPU second each scores."""
    table = bench.folder / "orders.parquet"
    signature = unpack(bench, image)
    write_orders(table, signature)
    tree = bench.home / "scoring" / "trees" / image.removeprefix("sha256:")
    model = tree / "opt" / "ecomdeploy" / "model" / signature.file
    rounds = []
    for number in range(ROUNDS):
        loop = time_loop(model, table, bench.folder / f"loop-{number}.parquet", signature.max_batch)
        wall, cpu, done = bench.run(
            "score", str(table), str(bench.folder / f"scores-{number}"), "--image", image
        )
        same(bench.folder / f"loop-{number}.parquet", bench.folder / f"scores-{number}", signature)
        rounds.append({"loop_cpu_s": round(loop, 2), "score_cpu_s": round(cpu, 2), "score_wall_s": round(wall, 2),
                       "workers": done["workers"], "share": round(loop / cpu, 3)})  # fmt: skip
    return {
        "usecase": "fraud",
        "rows": ROWS,
        "max_batch": signature.max_batch,
        "rounds": rounds,
        "rows_per_cpu_s_against_the_loop": statistics.median(one["share"] for one in rounds),
        "largest_process_mib": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024,
    }


def unpack(bench: Bench, image: str) -> Any:
    """The pack's signature, its image being unpacked for it."""
    from cli.scoring.servers import hold_packs
    from modelpack.home import Home
    from modelpack.progress import Silent

    root = bench.home
    with hold_packs(Home(root, root / "cache"), Silent()) as packs:
        return packs.signature(image)


def write_orders(table: Path, signature: Any) -> None:
    """Rows drawn from the golden requests."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    known = [row for golden in signature.golden for row in golden.request["instances"]]
    drawn = np.random.default_rng(SEED).integers(0, len(known), ROWS)
    columns = {one.name: pa.array([known[place][one.name] for place in drawn]) for one in signature.inputs}
    pq.write_table(pa.table({"order": np.arange(ROWS), **columns}), table, row_group_size=100_000)


def time_loop(model: Path, table: Path, out: Path, cut: int) -> float:
    """CPU seconds of the plain loop."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", LOOP, str(model), str(table), str(out), str(cut)], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def same(loop: Path, scores: Path, signature: Any) -> None:
    """Raises SystemExit unless both wrote the same answers, within what FP32 gives."""
    import numpy as np
    import pyarrow.parquet as pq

    one, other = pq.read_table(loop), pq.read_table(scores)
    for tensor in signature.outputs:
        if not np.allclose(one.column(tensor.name), other.column(tensor.name), rtol=1e-5, atol=1e-6):
            raise SystemExit(f"{tensor.name}: the loop's answers are others")
