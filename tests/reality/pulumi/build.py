"""The real Pulumi CLI, built from the Go modules that go.mod pins and go.sum verifies, kept in the user's cache.

    python3 tests/reality/pulumi/build.py     # says where it is; builds it first if need be (5 to 10 minutes of CPU)

It needs Go and nothing of ours; without Go it says so and does nothing.
"""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
if __name__ == "__main__":
    sys.path.insert(0, str(HERE.parents[2]))

from tests.go_tool import GoTool  # noqa: E402 - run as a program it is found only now

PULUMI = GoTool(
    name="pulumi",
    module=HERE,
    package="github.com/pulumi/pulumi/pkg/v3/cmd/pulumi",
    pinned="pulumi/pkg/v3",
    # what `pulumi version` prints; the Automation API refuses a CLI that does not know its version
    stamp="github.com/pulumi/pulumi/sdk/v3/go/common/version.Version",
)

if __name__ == "__main__":
    print(PULUMI.build() if PULUMI.can_be_had() else "no go: the real Pulumi CLI is not built")
