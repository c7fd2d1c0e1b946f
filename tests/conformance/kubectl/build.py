"""kubectl of the control plane's own version, built from the Go modules that go.mod pins and go.sum verifies.

python3 tests/conformance/kubectl/build.py     # says where it is; builds it first if need be (a minute of CPU)
"""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
if __name__ == "__main__":
    sys.path.insert(0, str(HERE.parents[2]))

from tests.go_tool import GoTool  # noqa: E402 - run as a program it is found only now

KUBECTL = GoTool(
    name="kubectl",
    module=HERE,
    package="k8s.io/kubernetes/cmd/kubectl",
    pinned="k8s.io/kubernetes",
    stamp="k8s.io/component-base/version.gitVersion",
)

if __name__ == "__main__":
    print(KUBECTL.build() if KUBECTL.can_be_had() else "no go: kubectl is not built")
