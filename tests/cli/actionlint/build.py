"""actionlint, which judges workflows of GitHub Actions, built from the Go modules that go.mod pins and go.sum verifies.

python3 tests/cli/actionlint/build.py     # says where it is; builds it first if need be (half a minute of CPU)
"""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
if __name__ == "__main__":
    sys.path.insert(0, str(HERE.parents[2]))

from tests.go_tool import GoTool  # noqa: E402 - run as a program it is found only now

ACTIONLINT = GoTool(
    name="actionlint",
    module=HERE,
    package="github.com/rhysd/actionlint/cmd/actionlint",
    pinned="github.com/rhysd/actionlint",
)

if __name__ == "__main__":
    print(ACTIONLINT.build() if ACTIONLINT.can_be_had() else "no go: actionlint is not built")
