"""`ecomdeploy init`: a short, commented, working project."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated

import typer

from cli import catalogs, options, show
from modelpack.errors import BadInput

COMMENT = re.compile(r"^(.*\S) {2,}# (.*)$", re.MULTILINE)
MODEL = "model.onnx"
PLACES = {
    "sagemaker": {
        "SERVE": """serve:
  target: sagemaker               # or kserve: ecomdeploy init --target kserve writes what that takes
  instance: ml.c7i.xlarge         # with an NVIDIA GPU, like ml.g6.xlarge, the image is one for CUDA (docs/gpu.md)

scale: {min: 1, max: 4, target_rps: @RATE@}""",
        "ALARMS": "  alarms: {error_rate: 0.01}\n",
    },
    "kserve": {
        "SERVE": """serve:
  target: kserve                  # an InferenceService a release, one HTTPRoute for the service (docs/kserve.md)
  instance: c7i.xlarge            # what a pod requests

scale: {min: 1, max: 4}           # by the processors' load""",
        "ALARMS": "",
    },
}
"""By target: what a spec says of it. An own target is named in the file."""
LONGEST = {"sagemaker": 40, "kserve": 24}
"""Characters of a service's name; with an environment and a namespace it is one DNS label on Kubernetes."""
COMMENTS_AT = 33
"""The column of comments behind a key, whatever words were filled in."""


def init(
    usecase: Annotated[
        str, typer.Argument(help="recommendation, search, fraud ..., or ./shop.py:ShopRecs, your own.")
    ],
    folder: Annotated[Path | None, typer.Argument(help="Where; default: the use case's name.")] = None,
    target: Annotated[
        str, typer.Option("--target", help="Where releases run: sagemaker, or kserve on Kubernetes.")
    ] = "sagemaker",
    as_json: options.AsJson = False,
) -> None:
    """Write a project that `ecomdeploy up` ships as it stands."""
    if target not in PLACES:
        raise BadInput(f"--target {target} is none of {', '.join(PLACES)}", hint="ecomdeploy init --help")
    own = usecase.startswith("./")
    if own:
        file_and_class(usecase)
    epochs = 1 if own else catalogs.default_epochs(usecase)
    folder = folder or Path("." if own else usecase)
    if folder.exists() and not folder.is_dir():
        raise BadInput(f"{folder} is a file, not a folder", hint=f"ecomdeploy init {usecase} another-name")
    spec = folder / "ecomdeploy.yaml"
    if spec.exists():
        raise BadInput(f"{spec} is already there and stays as it is", hint=go_there(folder))
    folder.mkdir(parents=True, exist_ok=True)
    files = [spec, folder / ".gitignore"]
    if own:
        files += skeleton(usecase, folder)
    model, note = own_model(folder, usecase) if own else ("", "")
    words = own_words(model) if own else trained_words(usecase, epochs)
    words |= {"USECASE": usecase, "SERVICE": service_name(folder, "shop" if own else usecase, target)}
    words |= place_words(target, "120" if own else f"{catalogs.default_rate(usecase):g}")
    spec.write_text(template("ecomdeploy.yaml.tmpl", words), encoding="utf-8")
    if not files[1].exists():
        files[1].write_text(".ecomdeploy/\n", encoding="utf-8")
    if as_json:
        show.document({"project": str(folder), "files": [str(file) for file in files]})
        return
    if own:
        show.say(f"Wrote {' and '.join(str(file) for file in (spec, *files[2:]))}.")
        if note:
            show.say(note)
        show.next_step("ecomdeploy up", f"when {usecase} says what to ask and {model} is there")
        return
    article = "an" if usecase[0] in "aeiou" else "a"
    show.say(f"Wrote {spec}: {article} {usecase} service that ships as it stands.")
    show.next_step(go_there(folder), "on this machine; no account, nothing leaves it")


def go_there(folder: Path) -> str:
    """What to type to ship the project in a folder."""
    return (
        "ecomdeploy up"
        if folder.resolve() == Path.cwd()
        else f"cd {shlex.quote(str(folder))} && ecomdeploy up"
    )


def trained_words(usecase: str, epochs: int) -> dict[str, str]:
    """Model and data of a use case that trains."""
    return {
        "MODEL": f"train: {{epochs: {epochs}}}              # or  path: model.onnx | model.safetensors",
        "DATA": f"# data: {{path: mine.parquet}}     # your own; what it must hold: ecomdeploy schema {usecase}",
    }


def place_words(target: str, rate: str) -> dict[str, str]:
    """Where releases run and how they scale: what that target takes."""
    return {name: text.replace("@RATE@", rate) for name, text in PLACES[target].items()}


def own_words(model: str) -> dict[str, str]:
    """Model and data of a user's own use case."""
    return {
        "MODEL": f"path: {model}              # formats: docs/models.md",
        "DATA": "# data: {path: held-out.npz}     # handed to requests(self, data), and part of the pack's name",
    }


def own_model(folder: Path, usecase: str) -> tuple[str, str]:
    """The one model of the project's folder or of the one that the use case's file lies in, relative to the project's,
    and what to say where it is not just one."""
    from modelpack.sources.base import SAVE_INSTEAD, models_in

    beside = (folder / file_and_class(usecase)[0]).parent
    folders = list(dict.fromkeys([folder.resolve(), beside.resolve()]))
    found = [os.path.relpath(path, folder.resolve()) for one in folders for path in models_in(one)]
    if len(found) == 1:
        return found[0], ""
    if found:
        return MODEL, f"{len(found)} models lie there ({', '.join(found[:5])}): name yours in model.path."
    for path in (path for one in folders for path in sorted(one.glob("*"))):
        if instead := SAVE_INSTEAD.get(path.suffix.removeprefix(".").lower()):
            return MODEL, f"If {path.name} is your model, save it otherwise: {instead}"
    return MODEL, ""


def file_and_class(usecase: str) -> tuple[str, str]:
    """The two parts of `./shop.py:ShopRecs`. Raises BadInput for anything else."""
    path, _, name = usecase.partition(":")
    if not name.isidentifier() or not path.endswith(".py"):
        raise BadInput(
            f"{usecase} names no class of a Python file", hint="ecomdeploy init ./shop.py:ShopRecs"
        )
    return path, name


def skeleton(usecase: str, folder: Path) -> list[Path]:
    """The use case's file, written where there is none yet."""
    path, name = file_and_class(usecase)
    file = folder / path
    if file.exists():
        return []
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(template("shop.py.tmpl", {"CLASS": name}), encoding="utf-8")
    return [file]


def template(name: str, words: Mapping[str, str]) -> str:
    """A template of cli/templates with its words filled in."""
    text = (resources.files("cli") / "templates" / name).read_text(encoding="utf-8")
    for word, value in words.items():
        text = text.replace(f"@{word}@", value)
    return COMMENT.sub(lambda line: f"{line[1]:<{COMMENTS_AT}} # {line[2]}", text)


def service_name(folder: Path, usecase: str, target: str = "sagemaker") -> str:
    """The folder's name as a service name: lower case, digits and dashes, as short as the target wants it."""
    name = "".join(
        letter if letter.isascii() and letter.isalnum() else "-" for letter in folder.resolve().name.lower()
    )
    name = "-".join(part for part in name.split("-") if part)
    return f"{name if name and name[0].isalpha() else usecase}"[: LONGEST[target]].rstrip("-")
