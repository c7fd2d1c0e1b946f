"""`ecomdeploy init`: a short, commented, working project."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Annotated

import typer

from cli import options, show, wiring
from modelpack.errors import BadInput


def init(
    usecase: Annotated[str, typer.Argument(help="recommendation, search, fraud, pricing ...")],
    folder: Annotated[Path | None, typer.Argument(help="Where; default: the use case's name.")] = None,
    as_json: options.AsJson = False,
) -> None:
    """Write a project that `ecomdeploy up` ships as it stands."""
    epochs = wiring.default_epochs(usecase)
    folder = folder or Path(usecase)
    if folder.exists() and not folder.is_dir():
        raise BadInput(f"{folder} is a file, not a folder", hint=f"ecomdeploy init {usecase} another-name")
    spec = folder / "ecomdeploy.yaml"
    if spec.exists():
        raise BadInput(f"{spec} is already there and stays as it is", hint=f"cd {folder} && ecomdeploy up")
    folder.mkdir(parents=True, exist_ok=True)
    spec.write_text(template("ecomdeploy.yaml.tmpl", usecase, folder, epochs), encoding="utf-8")
    ignore = folder / ".gitignore"
    if not ignore.exists():
        ignore.write_text(".ecomdeploy/\n", encoding="utf-8")
    if as_json:
        show.document({"project": str(folder), "files": [str(spec), str(ignore)]})
        return
    show.say(f"Wrote {spec}: a {usecase} service that ships as it stands.")
    show.next_step(f"cd {folder} && ecomdeploy up", "on this machine; no account, nothing leaves it")


def template(name: str, usecase: str, folder: Path, epochs: int) -> str:
    """A template of cli/templates with its words filled in."""
    text = (resources.files("cli") / "templates" / name).read_text(encoding="utf-8")
    words = {"USECASE": usecase, "SERVICE": service_name(folder, usecase), "EPOCHS": str(epochs)}
    for word, value in words.items():
        text = text.replace(f"@{word}@", value)
    return text


def service_name(folder: Path, usecase: str) -> str:
    """The folder's name as a service name: lower case, digits and dashes, at most 40 characters."""
    name = "".join(
        letter if letter.isascii() and letter.isalnum() else "-" for letter in folder.resolve().name.lower()
    )
    name = "-".join(part for part in name.split("-") if part)
    return f"{name if name and name[0].isalpha() else usecase}"[:40].rstrip("-")
