"""The command line, `python -m minidiff`. Bad input is one line on stderr and exit status 2."""

import inspect
import os
import sys
import warnings
from argparse import ArgumentParser
from functools import partial

from .commands import COMMANDS
from .options import add_options

STOPPED, PIPE = 130, 141  # exit statuses that shells give to what ended by SIGINT and by SIGPIPE


class _Parser(ArgumentParser):
    def error(self, message):
        message = " ".join(message.replace("expected one argument", "expected a value").split())
        self.exit(2, f"minidiff: {message}; see {self.prog} --help\n")


def main(argv: list[str] | None = None, commands: dict[str, type] = COMMANDS, prog: str = "python -m minidiff") -> None:
    """Run the command of argv, by default of the command line of `prog`; other exit statuses than 0 by SystemExit."""
    warnings.formatwarning = lambda message, *_, **__: f"minidiff: {message}\n"  # one line, as errors are
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a code page without some letter costs the letter, not the results
    try:
        try:
            _parse(argv, commands, prog).run()
        finally:
            _flush()
    except BrokenPipeError:  # whoever read it has read enough
        _mute(sys.stdout, sys.stderr)
        sys.exit(PIPE)
    except KeyboardInterrupt:
        said, status = "stopped", STOPPED
    except Exception as error:
        from ..device import out_of_memory

        if not isinstance(error, ValueError | OSError) and not out_of_memory(error):
            raise
        said, status = _reason(error, out_of_memory(error)), 2
    else:
        return
    print("minidiff:", said, file=sys.stderr)
    sys.exit(status)


def _parse(argv, known, prog):
    argv = sys.argv[1:] if argv is None else argv
    parser = _Parser(prog, description="Diffusion models from scratch, in small.", allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, cls in known.items():
        text = inspect.getdoc(cls)
        command = commands.add_parser(name, allow_abbrev=False, help=text.splitlines()[0], description=text)
        if name in argv[:1]:  # for the options of train much has to be imported
            getattr(cls, "add_options", partial(add_options, cls=cls))(command)
    given = vars(parser.parse_args(argv))
    return known[given.pop("command")](**given)


def _reason(error: Exception, lack: bool) -> str:
    """One line; under torchrun with the rank, as one rank alone may have it: its loss is not finite, say."""
    from torch.distributed import is_torchelastic_launched

    message = " ".join(str(error).split()) or type(error).__name__
    if lack and not message.startswith("out of memory ("):
        message = f"out of memory ({message[:120]}): fewer at a time need less, say a smaller --n or --batch"
    rank = int(os.environ["RANK"]) if is_torchelastic_launched() else 0
    return f"rank {rank}: {message}" if rank else message


def _flush() -> None:
    """Write out what print has kept, while there is someone to tell that it failed."""
    try:
        sys.stdout.flush()
    except OSError:
        _mute(sys.stdout)
        raise


def _mute(*streams) -> None:
    """Write nothing more, not even what a stream holds when Python ends, which would fail once more."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in streams:
        os.dup2(nowhere, stream.fileno())
