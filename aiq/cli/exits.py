"""What the shell is told in the end, and which error means what to it."""

from enum import IntEnum
from typing import Final

from aiq.errors import AiqError, Conflict, EventsLost, InvalidInput, NotFound, StorageError


class Exit(IntEnum):
    """The status of the process. A closed pipe and Ctrl-C end it as shells expect: 128 and the signal's number."""

    DONE = 0
    NO = 1
    """The question was understood, and the answer is no."""
    USAGE = 2
    """argparse uses this number for a wrong command line, so what else the caller got wrong has it too."""
    STORAGE = 3
    INTERRUPTED = 130
    PIPE_CLOSED = 141


EXITS: Final = """\
exit status:
  0  done
  1  the answer is no: not found, a conflict, a dead job, a violation
  2  wrong usage: an option, a name, a value, a module that is not there
  3  the storage cannot be used: not reachable, misconfigured, full, corrupt
"""


def exit_of(error: AiqError) -> Exit:
    """The status that an error ends the process with."""
    if isinstance(error, InvalidInput):
        return Exit.USAGE
    if isinstance(error, StorageError) and not isinstance(error, NotFound | Conflict | EventsLost):
        return Exit.STORAGE
    return Exit.NO
