"""The process that a storage belongs to."""

import os

from aiq.errors import Misconfigured


def check_process(url: str, pid: int) -> None:
    """Refuse to go on in a child of the process that opened a storage: neither locks nor connections survive a fork.

    Raises:
        Misconfigured: this is another process than `pid`.
    """
    if os.getpid() != pid:
        raise Misconfigured(
            f"{url} was opened in process {pid}, of which this one is a fork. "
            "Open the storage after the fork, in each process by itself."
        )
