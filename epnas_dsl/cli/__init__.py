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
    "init": ("spaces", "Write a commented starter NAME.space."),
    "check": ("spaces", "Find all that is wrong, or odd, in .space files."),
    "explain": ("spaces", "Explain the code of an error, or list all."),
    "format": ("spaces", "Give .space files the canonical layout."),
    "show": ("spaces", "Show decisions, levels and exact counts."),
    "count": ("spaces", "Count the architectures of a space exactly."),
    "sample": ("spaces", "Print random architectures, one a line."),
    "draw": ("spaces", "Draw a space or an architecture."),
    "convert": ("comparing", "Translate from and to other notations."),
    "diff": ("comparing", "Show how two architectures differ."),
    "neighbours": ("comparing", "List what is one decision away."),
    "summary": ("architectures", "Show layers, parameters and MACs."),
    "compile": ("architectures", "Write a file that runs without this program."),
    "search": ("runs", "Search a space for its best architecture."),
    "compare": ("runs", "Compare searchers under the same budget."),
    "resume": ("runs", "Go on with a run that was stopped."),
    "status": ("runs", "Show how far a run is, and its best."),
    "report": ("runs", "Write the report of a run: one HTML file."),
    "top": ("runs", "List the best architectures of a run."),
    "train": ("architectures", "Train an architecture from scratch."),
    "evaluate": ("architectures", "Measure trained weights on images."),
    "doctor": ("doctor", "Show what is installed, and what it runs on."),
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
trial of a run: DIR:best, DIR:17, 'DIR:best(params<2e6)'."""


class _Commands(click.Group):
    """Loads the module of a command only when it is used."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module = importlib.import_module(f"epnas_dsl.cli.{COMMANDS[name][0]}")
        command: click.Command = getattr(module, f"{name}_command")
        return command

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, about) for name, (_, about) in COMMANDS.items()])

    def resolve_command(
        self, context: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and args[0] not in COMMANDS:
            hint = nearest(args[0], COMMANDS) or "`epnas --help` lists them"
            raise ConfigError(f"there is no command `{args[0]}`", code="E530", hint=hint)
        return super().resolve_command(context, args)


@click.group(cls=_Commands, epilog=STATUSES)
@click.version_option(package_name="epnas-dsl", message="epnas %(version)s")
@click.option("--debug", is_flag=True, help="Show the traceback of a bug.")
@click.option("--plugin", multiple=True, help="A Python file with operations of your own.")
def epnas(debug: bool, plugin: tuple[str, ...]) -> None:
    """Write families of neural networks down, and check, draw, count, search and compile them."""
    if plugin:
        from epnas_dsl.space.operations import load_operations

        for path in plugin:
            load_operations(path)


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry a command line out; returns the exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        status = epnas.main(words, "epnas", standalone_mode=False, obj=words)
        if sys.stdout:  # absent where a shell closed it
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
    wrong = isinstance(error, ConfigError | CountError)
    return 4 if isinstance(error, RunError) else 2 if wrong else 1


def _unread() -> int:
    """Whoever read our output has enough of it: no reason to complain, now or at the end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0
