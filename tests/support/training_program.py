"""A training container's program without any library: counts steps, keeps each, goes on from there.

Hyperparameters: `steps`, `seconds` of each, `fail` (words; at the step `fail_at`), `deaf` (hears no SIGTERM), `leave`
(what else it leaves: "links").
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

root = Path(os.environ.get("ECOMDEPLOY_TRAINING_ROOT", "/opt/ml"))
given = json.loads((root / "input" / "config" / "hyperparameters.json").read_text())
signal.signal(signal.SIGTERM, signal.SIG_IGN if "deaf" in given else lambda *_: os._exit(143))
kept = root / "checkpoints" / "steps"
done = int(kept.read_text()) if kept.exists() else 0
began = done
while done < int(given.get("steps", "3")):
    time.sleep(float(given.get("seconds", "0.05")))
    done += 1
    print(f"step {done}", flush=True)
    if kept.parent.exists():
        kept.with_name(".part").write_text(str(done))
        kept.with_name(".part").replace(kept)
    if given.get("fail") and done == int(given.get("fail_at", "1")):
        (root / "output" / "failure").write_text(given["fail"])
        sys.exit(7)
data = sorted((root / "input" / "data").rglob("*"))
seen = {one.relative_to(root / "input" / "data").as_posix(): one.read_text() for one in data if one.is_file()}
config = {one.stem: json.loads(one.read_text()) for one in (root / "input" / "config").iterdir()}
said = {"done": done, "began": began, "data": seen, "config": config, "job": os.environ["TRAINING_JOB_NAME"]}
if given.get("leave") == "links":
    (root / "model" / "passwd").symlink_to("/etc/passwd")
    (root / "model" / "etc").symlink_to("/etc")
(root / "model" / "model.json").write_text(json.dumps(said))
