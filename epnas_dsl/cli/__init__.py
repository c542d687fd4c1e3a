"""Turn command lines into work: the command `epnas`, its exit statuses and its last words."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence

import click

from epnas_dsl.cli.terminal import fail, note
from epnas_dsl.errors import ConfigError, CountError, EpnasError, RunError, nearest

COMMANDS = {
    "spaces": ["init", "check", "explain", "format", "show", "count", "sample", "draw", "convert"],
    "architectures": ["summary", "compile", "train", "evaluate"],
    "runs": ["search", "resume", "status", "report", "top"],
    "doctor": ["doctor"],
}
STATUSES = """\b
Exit status:
  0  done
  1  the input (a text, a table, a data set) has findings
  2  the command line or a setting is wrong, or a count is out of reach
  3  stopped early; the run can be resumed
  4  the run folder is locked, damaged or not ours
  70 a bug in this program; 130 and 143: ended by a signal

SPACE is a built-in name or a path, with parameters if wanted: 'micro(blocks=3)'.
ARCH is an architecture's text, the path of an .arch file, - for standard input, or a
trial of a run: DIR:best, DIR:17."""


class _Commands(click.Group):
    """Loads the module of a command only when it is used, or listed."""

    def list_commands(self, context: click.Context) -> list[str]:
        return [name for names in COMMANDS.values() for name in names]

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        for module, names in COMMANDS.items():
            if name in names:
                found = importlib.import_module(f"epnas_dsl.cli.{module}")
                command: click.Command = getattr(found, f"{name}_command")
                return command
        return None

    def resolve_command(
        self, context: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and not self.get_command(context, args[0]):
            hint = nearest(args[0], self.list_commands(context)) or "`epnas --help` lists them"
            raise ConfigError(f"there is no command `{args[0]}`", code="E530", hint=hint)
        return super().resolve_command(context, args)


@click.group(cls=_Commands, epilog=STATUSES)
@click.version_option(package_name="epnas-dsl", message="epnas %(version)s")
@click.option("--debug", is_flag=True, help="Show the traceback of a bug.")
def epnas(debug: bool) -> None:
    """Write families of neural networks down, and check, draw, count, search and compile them."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry a command line out; returns the exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        status = epnas.main(words, prog_name="epnas", standalone_mode=False)
        sys.stdout.flush()
        return status if isinstance(status, int) else 0
    except EpnasError as error:
        fail(error)
        return _status(error)
    except click.UsageError as error:
        path = error.ctx.command_path if error.ctx else "epnas"
        fail(ConfigError(error.format_message(), code="E530", hint=f"`{path} --help`"))
        return 2
    except (click.Abort, KeyboardInterrupt):
        return 130
    except BrokenPipeError:
        return _unread()
    except SystemExit as error:  # click's answer to a pipe that nobody reads
        return _unread() if error.code == 1 else 2
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        fail(ConfigError(f"{place}{error.strerror or error}", code="E531"))
        return 2
    except Exception as error:
        if "--debug" in words:
            raise
        note(
            f"a bug in epnas, sorry: {type(error).__name__}: {error}\n"
            "  please report it with the command and its files; "
            "`epnas --debug ..` shows where it happened"
        )
        return 70


def _status(error: EpnasError) -> int:
    if isinstance(error, RunError):
        return 4
    return 2 if isinstance(error, ConfigError | CountError) else 1


def _unread() -> int:
    """Whoever read our output has enough of it: no reason to complain, now or at the end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0
