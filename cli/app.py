"""The `ecomdeploy` command: every verb is one file here; this one registers them and is the single error exit."""

from __future__ import annotations

import gc
import locale
import os
import signal
import sys
import warnings
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Annotated, NoReturn

import typer
from typer.exceptions import Abort, Exit, TyperException

from cli import show, wiring
from cli.commands import (
    approve,
    ci,
    cloud,
    doctor,
    down,
    init,
    logs,
    pack,
    plan,
    platform,
    predict,
    recover,
    releases,
    rollback,
    schema,
    score,
    status,
    up,
)
from cli.options import CommandGroup, for_environment
from modelpack.errors import EcomdeployError

INTERRUPTED = 130
PROXIES = tuple(
    name for stem in ("http_proxy", "https_proxy", "all_proxy", "grpc_proxy") for name in (stem, stem.upper())
)
EPILOG = "Start with: ecomdeploy init recommendation shop && cd shop && ecomdeploy up"


def version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version as installed

        show.say(f"ecomdeploy {installed('ecomdeploy')}")
        raise typer.Exit


def callback(
    wanted: Annotated[
        bool, typer.Option("--version", callback=version, is_eager=True, help="Print it.")
    ] = False,
) -> None:
    """Ship e-commerce models to GPU serving, prove what serves, and roll back."""


COMMANDS: Mapping[str, Callable[..., None]] = {
    "init": init.init,
    "plan": plan.plan,
    "up": up.up,
    "status": status.status,
    "predict": predict.predict,
    "approve": approve.approve,
    "rollback": rollback.rollback,
    "recover": recover.recover,
    "down": down.down,
    "pack": pack.pack,
    "score": score.score,
    "schema": schema.schema,
    "logs": logs.logs,
    "doctor": doctor.doctor,
}
GROUPS: Mapping[str, Callable[[], typer.Typer]] = {
    "releases": releases.application,
    "platform": platform.application,
    "cloud": cloud.application,
    "ci": ci.application,
}


def application(first: str = "") -> typer.Typer:
    """The command tree: whole, or with nothing but the command of that name, since each takes time to set up."""
    app = typer.Typer(
        name="ecomdeploy",
        cls=CommandGroup,
        add_completion=False,
        epilog=EPILOG,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    app.callback()(callback)
    asked = {first} & (COMMANDS.keys() | GROUPS.keys())
    for name, command in COMMANDS.items():
        if name in asked or not asked:
            app.command(name)(for_environment(command))
    for name, group in GROUPS.items():
        if name in asked or not asked:
            app.add_typer(group(), name=name)
    return app


def interrupt(signum: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt(signum)


def name_verb(arguments: Sequence[str]) -> str:
    """The command and what follows it, which may be a sub-command: "platform up"."""
    return " ".join([word for word in arguments if not word.startswith("-")][:2])


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return the exit code of docs/exit-codes.md."""
    as_json = "--json" in arguments
    verb = name_verb(arguments)
    try:
        result = application(arguments[0] if arguments else "")(
            list(arguments), prog_name="ecomdeploy", standalone_mode=False
        )
    except Exit as stop:
        return stop.exit_code
    except EcomdeployError as error:
        show.error(error, as_json)
        return error.exit_code
    except TyperException as error:
        show.usage(error, as_json)
        return 2
    except (KeyboardInterrupt, Abort):
        show.say_interrupted(as_json, verb)
        return INTERRUPTED
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - the reader is gone; nothing more can be said
        return 0
    except Exception as error:
        if os.environ.get("ECOMDEPLOY_TRACE"):
            raise
        if isinstance(error, OSError) and show.machine(error, as_json, list_homes()):
            return 1
        show.bug(error, as_json)
        return 1
    if result == INTERRUPTED:  # what typer makes of a KeyboardInterrupt
        show.say_interrupted(as_json, verb)
    return result if isinstance(result, int) else 0


def list_homes() -> tuple[Path, ...]:
    """The user's folders of ours; none where that is not known."""
    try:
        home = wiring.home()
    except EcomdeployError:
        return ()
    return (home.root, home.cache)


def spare_loopback(variables: MutableMapping[str, str]) -> None:
    """Where a proxy is set, what is on this machine is asked without it: the local cloud, and Pulumi's own channels."""
    if not any(variables.get(name) for name in PROXIES):
        return
    spellings = ("no_proxy", "NO_PROXY")
    said = [each.strip() for name in spellings for each in variables.get(name, "").split(",") if each.strip()]
    if "*" in said:
        return
    spared = ",".join(dict.fromkeys([*said, "127.0.0.1", "localhost", "::1"]))
    variables.update(
        dict.fromkeys(spellings, spared)
    )  # one list: who knows both spellings takes only one of them


def spare_warnings(variables: MutableMapping[str, str]) -> None:
    """Where PYTHONWARNINGS or -W makes errors of warnings, no longer here, nor in what is started from here.

    Warnings are for whoever writes the code. Other packages deprecate parts of themselves while they are imported, and
    nobody who ships a model can mend that.
    """
    if any(action == "error" for action, *_ in warnings.filters):
        variables.pop("PYTHONWARNINGS", None)
        warnings.simplefilter("ignore")


def speak_utf8() -> None:
    """Begin anew in Python's UTF-8 mode where the locale is another: what we write is UTF-8, on any machine, and so are
    the files and names that users give."""
    if locale.getpreferredencoding(False).lower().replace("-", "") == "utf8":
        return
    if os.environ.get("PYTHONUTF8") != "1":  # else it was tried, or a flag of the interpreter is in its way
        os.environ["PYTHONUTF8"] = "1"
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - the very same program


def main() -> None:
    """Console script."""
    speak_utf8()
    # ONNX Runtime sends telemetry from its Linux wheels unless told not to; nothing leaves this machine.
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    # gRPC tells of every program that ended; it asks once, when it is first imported, which any command may do.
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    # Imports and exports make millions of objects that stay: looking through them so often costs a fifth of an export.
    gc.set_threshold(50_000)
    spare_loopback(os.environ)
    spare_warnings(os.environ)
    signal.signal(signal.SIGTERM, interrupt)
    code = run(sys.argv[1:])
    sys.stdout.flush()
    sys.exit(code)


if __name__ == "__main__":
    main()
