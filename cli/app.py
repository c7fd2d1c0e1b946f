"""The `ecomdeploy` command: every verb is one file here; this one registers them and is the single error exit."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import Annotated, NoReturn

import typer
from typer.exceptions import Abort, Exit, TyperException

from cli import show
from cli.commands import (
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
    releases,
    rollback,
    schema,
    status,
    up,
)
from modelpack.errors import EcomdeployError

INTERRUPTED = 130
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


def application() -> typer.Typer:
    """The whole command tree."""
    app = typer.Typer(
        name="ecomdeploy",
        no_args_is_help=True,
        add_completion=False,
        epilog=EPILOG,
        pretty_exceptions_enable=False,
    )
    app.callback()(callback)
    for name, command in (
        ("init", init.init),
        ("plan", plan.plan),
        ("up", up.up),
        ("status", status.status),
        ("predict", predict.predict),
        ("releases", releases.releases),
        ("rollback", rollback.rollback),
        ("down", down.down),
        ("pack", pack.pack),
        ("schema", schema.schema),
        ("logs", logs.logs),
        ("doctor", doctor.doctor),
    ):
        app.command(name)(command)
    app.add_typer(platform.application(), name="platform")
    app.add_typer(cloud.application(), name="cloud")
    app.add_typer(ci.application(), name="ci")
    return app


def interrupt(signum: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt(signum)


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return the exit code of docs/exit-codes.md."""
    as_json = "--json" in arguments
    try:
        result = application()(list(arguments), prog_name="ecomdeploy", standalone_mode=False)
    except Exit as stop:
        return stop.exit_code
    except EcomdeployError as error:
        show.error(error, as_json)
        return error.exit_code
    except TyperException as error:
        show.usage(error, as_json)
        return 2
    except (KeyboardInterrupt, Abort):
        show.say_interrupted(as_json)
        return INTERRUPTED
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - the reader is gone; nothing more can be said
        return 0
    except Exception as error:
        if os.environ.get("ECOMDEPLOY_TRACE"):
            raise
        show.bug(error, as_json)
        return 1
    if result == INTERRUPTED:  # what typer makes of a KeyboardInterrupt
        show.say_interrupted(as_json)
    return result if isinstance(result, int) else 0


def main() -> None:
    """Console script."""
    # ONNX Runtime sends telemetry from its Linux wheels unless told not to; nothing leaves this machine.
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    # Imports and exports make millions of objects that stay: looking through them so often costs a fifth of an export.
    gc.set_threshold(50_000)
    signal.signal(signal.SIGTERM, interrupt)
    code = run(sys.argv[1:])
    sys.stdout.flush()
    sys.exit(code)


if __name__ == "__main__":
    main()
