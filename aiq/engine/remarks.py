"""What is said of the work beside what it yields: how much of a job's stream lines of the log and progress may take."""

from typing import Final

from aiq.bounds import LOG_ROOM_BYTES, PROGRESS_ROOM_BYTES
from aiq.model import ChunkKind
from aiq.rules.streams import stored_size

CUT: Final = f"The log is cut here: {LOG_ROOM_BYTES} bytes of the stream are in use, the rest is for output.".encode()


class Room:
    """How full a stream is, as one run knows it: what the storage has told last, and what has been let in since."""

    def __init__(self, stream_bytes: int | None) -> None:
        self.stream_bytes = stream_bytes
        """None until the storage has told it: earlier runs may have appended anything."""
        self._cut = False

    def admit(self, kind: ChunkKind, data: bytes) -> bytes | None:
        """What goes into the stream for an item: its data, once the line that says that the log ends, or nothing.

        That line has the room of progress, so that a run which finds even that taken adds nothing at all, and jobs
        that resume for ever do not fill their streams with it.
        """
        if kind is ChunkKind.LOG and (self._cut or not self._fits(data, LOG_ROOM_BYTES)):
            if self._cut or not self._fits(CUT, PROGRESS_ROOM_BYTES):
                return None
            self._cut, data = True, CUT
        elif kind is ChunkKind.PROGRESS and not self._fits(data, PROGRESS_ROOM_BYTES):
            return None
        if self.stream_bytes is not None:
            self.stream_bytes += stored_size(data)
        return data

    def _fits(self, data: bytes, room_bytes: int) -> bool:
        return (self.stream_bytes or 0) + stored_size(data) <= room_bytes
