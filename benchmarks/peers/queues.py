"""The queues that are measured beside ours, and the environment that each of them has."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from venv import EnvBuilder

ROOT: Final = Path(__file__).parents[2]
ENVIRONMENTS: Final = ROOT / "build" / "peers"


class NotInstalled(Exception):
    """An environment could not be made; the text is what pip said last."""


@dataclass(frozen=True, slots=True)
class Queue:
    """A queue on a store, with the settings that its module knows by `variant`."""

    name: str
    store: str
    module: str
    packages: tuple[str, ...] = ()
    variant: str = ""
    best: bool = False
    """Whether it is one of the best of its store, which are measured unless others are asked for."""

    def python(self) -> str:
        """The interpreter of its own environment, which is made if it is not there, or has other releases.

        Raises:
            NotInstalled: with what pip said.
        """
        if not self.packages:
            return sys.executable
        folder = ENVIRONMENTS / self.module
        wanted, made = "\n".join(self.packages), folder / ".packages"
        if not made.exists() or made.read_text(encoding="utf-8") != wanted:
            EnvBuilder(with_pip=True, clear=True).create(folder)
            self._install(folder)
            made.write_text(wanted, encoding="utf-8")
        return str(folder / "bin" / "python")

    def _install(self, folder: Path) -> None:
        command = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        done = subprocess.run([*command, *self.packages], capture_output=True, text=True, check=False)
        if done.returncode:
            raise NotInstalled((done.stderr.strip().splitlines() or ["pip failed"])[-1])


SAQ: Final = ("saq[redis,postgres]==0.26.4", "hiredis==3.5.0", "psycopg[binary]==3.3.9", "typing_extensions==4.16.0")
PGQUEUER: Final = ("pgqueuer[asyncpg]==1.6.0",)
HUEY: Final = ("huey==3.5.4",)

OURS: Final = "aiq"
QUEUES: Final = (
    *[Queue(OURS, store, "aiq", best=True) for store in ("redis", "postgres", "sqlite")],
    Queue("taskiq", "redis", "taskiq", ("taskiq==0.13.0", "taskiq-redis==1.2.4", "hiredis==3.5.0"), best=True),
    Queue("bullmq", "redis", "bullmq", ("bullmq==3.4.4", "hiredis==3.5.0"), best=True),
    Queue("arq", "redis", "arq", ("arq==0.28.0", "hiredis==3.5.0")),
    Queue("saq", "redis", "saq", SAQ),
    Queue("streaq", "redis", "streaq", ("streaq==7.2.0", "hiredis==3.5.0")),
    Queue("pgqueuer", "postgres", "pgqueuer", PGQUEUER, best=True),
    Queue("pgqueuer-100", "postgres", "pgqueuer", PGQUEUER, "100", best=True),
    Queue("saq", "postgres", "saq", SAQ, best=True),
    Queue("huey", "sqlite", "huey", HUEY, best=True),
    Queue("huey-bare", "sqlite", "huey", HUEY, "bare", best=True),
)
"""Those of a store in the order in which they run."""


def queues_of(store: str, names: list[str] | None = None) -> list[Queue]:
    """The best of a store, or those named."""
    return [queue for queue in QUEUES if queue.store == store and (queue.name in names if names else queue.best)]
