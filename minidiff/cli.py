"""The command line, `python -m minidiff`. Bad input is one line on stderr and exit status 2."""

import os
import sys
import warnings

from simple_parsing import ArgumentParser, DashVariant

from .commands import COMMANDS

FLAGS = ("help", "resume", "write", "flip", "compiled", "few")  # options without a value


class _Parser(ArgumentParser):
    def error(self, message):
        message = message.replace("options.", "").replace("run_folder", "RUN")  # a dataclass's name for an argument
        self.exit(2, f"minidiff: {message}; see {self.prog} --help\n")


def main(argv: list[str] | None = None) -> None:
    warnings.formatwarning = lambda message, *_, **__: f"minidiff: {message}\n"  # one line, as errors are
    parser = _Parser(prog="python -m minidiff", description="Diffusion models from scratch, in small.")
    commands = parser.add_subparsers(dest="command", required=True, parser_class=_Parser)
    for name, cls in COMMANDS.items():
        sub = commands.add_parser(
            name,
            help=cls.__doc__,
            description=cls.__doc__,
            add_option_string_dash_variants=DashVariant.DASH,
        )
        sub.add_arguments(cls, "options")
    options = parser.parse_args(_valued(parser, sys.argv[1:] if argv is None else argv)).options
    try:
        options.run()
    except Exception as error:
        from .device import out_of_memory

        if not isinstance(error, ValueError | OSError) and not out_of_memory(error):
            raise
        sys.exit(_refuse(error, out_of_memory(error)))


def _valued(parser: _Parser, argv: list[str]) -> list[str]:
    """argv, if every option but the flags has a value: an optional one would pass for absent without it."""
    for name, after in zip(argv, [*argv[1:], "--"], strict=True):
        flag = "=" in name or name.removeprefix("--").removeprefix("no") in FLAGS
        if name.startswith("--") and after.startswith("--") and not flag:
            parser.error(f"argument {name}: expected a value")
    return argv


def _refuse(error: Exception, lack: bool) -> int:
    if int(os.environ.get("RANK", 0)) > 0 and not isinstance(error, ConnectionError) and not lack:
        return 2  # the first rank says the same
    message = " ".join(str(error).split())
    if lack and not message.startswith("out of memory ("):
        message = f"out of memory ({message[:120]}): fewer at a time need less, say a smaller --n or --batch"
    print("minidiff:", message or type(error).__name__, file=sys.stderr)
    return 2
