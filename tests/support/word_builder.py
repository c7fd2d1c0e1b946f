"""Packs a word: an image of a few bytes, answers that follow from its digest. For servers that speak (speaking.py)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from modelpack.home import Home
from modelpack.image.oci.layout import Layout
from modelpack.progress import Progress
from stacks.records.release import Packed
from stacks.wanted import Wanted

OCI = "application/vnd.oci.image"


@dataclass(frozen=True)
class WordBuilder:
    """The pack of a word, in that home's image store."""

    home: Home
    word: str

    def find(self, wanted: Wanted) -> Packed | None:
        return self.pack()

    def build(self, wanted: Wanted, progress: Progress, *, regate: bool, base: Any = None) -> Packed:
        return self.pack()

    def pack(self) -> Packed:
        layout = Layout(self.home.images)
        config, layer = json.dumps({"os": "linux", "word": self.word}).encode(), self.word.encode() * 1000
        document = {
            "schemaVersion": 2,
            "mediaType": f"{OCI}.manifest.v1+json",
            "config": {
                "mediaType": f"{OCI}.config.v1+json",
                "digest": layout.put(config),
                "size": len(config),
            },
            "layers": [
                {"mediaType": f"{OCI}.layer.v1.tar", "digest": layout.put(layer), "size": len(layer)},
            ],
        }
        digest = layout.put_manifest(document).digest
        return pack_that_says(digest, digest, self.word)


def pack_that_says(digest: str, said: str, word: str) -> Packed:
    """A pack whose servers answer `said`, and say that it is their content."""
    answer = {"predictions": [{"digest": said, "score": 0.5}]}
    golden = ({"request": {"instances": [{"household": 1}]}, "answer": answer},)
    close = {"score": {"kind": "close", "rtol": 0.0, "atol": 0.001}, "digest": {"kind": "equal"}}
    return Packed(
        digest=digest, content_digest=said, input_digest=word, usecase="u", golden=golden, tolerance=close
    )
