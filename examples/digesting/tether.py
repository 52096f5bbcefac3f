"""How a process ends with the one that started it, whatever ends that one.

The starter holds the other end of our standard input. When it dies, even by SIGKILL, the kernel closes that end, and
we read the end of the file. So nothing stays behind, and there is nothing to clean up.
"""

import asyncio
import os
import threading
from collections.abc import Callable
from typing import Final

LAST_RESORT_S: Final = 10.0


def when_input_ends(call: Callable[[], object]) -> None:
    """Call back in the running loop once standard input has ended, and end the process if that does not do it soon."""
    loop = asyncio.get_running_loop()

    def watch() -> None:
        while os.read(0, 1024):
            pass
        loop.call_soon_threadsafe(call)
        # A daemon thread ends with the process: what follows is only reached when the process cannot end.
        threading.Event().wait(LAST_RESORT_S)
        os._exit(1)

    threading.Thread(target=watch, name="tether", daemon=True).start()
