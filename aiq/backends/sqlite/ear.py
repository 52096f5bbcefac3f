"""Hearing that somebody writes to a file, where the system tells: on Linux, by inotify.

A process that waits for changes of others need not look for them then: it is woken when the log of the file is
written to. That is a hint and no more. The log is written shortly before what was written can be read, our own writes
are heard too, and a file system that other machines write to tells nothing of them: whoever listens still looks.
"""

import asyncio
import ctypes
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Self

_IN_MODIFY: Final = 0x2
_BATCH_BYTES: Final = 4_096
"""What is read at once. All writes between two looks are one event, so that nothing is left."""


class Ear:
    """Listens to one file, in one loop. It calls back once, and again only when it was told to `listen` again."""

    def __init__(self, fd: int, loop: asyncio.AbstractEventLoop, heard: Callable[[], None]) -> None:
        self._fd, self._loop, self._heard = fd, loop, heard

    @classmethod
    def open(cls, path: str, heard: Callable[[], None]) -> Self | None:
        """Be ready to listen to a file in the running loop; None where the system cannot or will not tell.

        Raises:
            OSError, AttributeError: the C library cannot be had, or does not know how.
        """
        fd = _watched(path)
        return None if fd is None else cls(fd, asyncio.get_running_loop(), heard)

    def listen(self) -> None:
        """Call back at the next write, or for one that came meanwhile.

        Raises:
            NotImplementedError, OSError: the loop cannot, or has no room.
        """
        self._loop.add_reader(self._fd, self._call_back)

    def rest(self) -> None:
        """Call nobody back. What is written meanwhile is kept for later."""
        with suppress(NotImplementedError):
            self._loop.remove_reader(self._fd)

    def forget(self) -> bool:
        """Whether there were writes since this was last asked; they are told no more."""
        try:
            return bool(os.read(self._fd, _BATCH_BYTES))
        except BlockingIOError:
            return False

    def close(self) -> None:
        """Stop listening for good."""
        if not self._loop.is_closed():
            self.rest()
        os.close(self._fd)

    def _call_back(self) -> None:
        self.rest()
        self._heard()


def _watched(path: str) -> int | None:
    """A descriptor that can be read when somebody has written to a file.

    There may be none left for this user, or no file: then there is nothing to listen to.
    """
    if sys.platform != "linux":
        return None
    library = ctypes.CDLL(None)
    begin, add = library.inotify_init1, library.inotify_add_watch
    fd: int = begin(os.O_NONBLOCK | os.O_CLOEXEC)
    if fd < 0:
        return None
    if add(fd, os.fsencode(path), _IN_MODIFY) < 0:
        os.close(fd)
        return None
    return fd
