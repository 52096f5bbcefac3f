"""PostgreSQL servers, and poolers in front of them, that the tests start for themselves, as tests/servers.py does it.

PostgreSQL and pgbouncer refuse to run as root. Where the tests do, the servers run as somebody without rights.
"""

import asyncio
import atexit
import os
import pwd
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import gettempdir, mkdtemp
from threading import Thread
from typing import Any, TypeAlias, TypeVar

import asyncpg

from aiq.backends.postgres.migrate import migrate
from tests.servers import READY_SECONDS, free_port

LOOK_SECONDS = 0.01
ASK_SECONDS = 30.0
OLDEST = 13

SUPERUSER = "postgres"
USER = "aiq"
"""As whom the tests come. It owns the database and is nobody beyond it."""
WORKER = "suite"
"""As whom a storage is opened where it need not be made: with the rights of docs/postgres.md, and no more."""
DATABASE = "jobs"

GUARD = """
read -r _
if [ -f pid ]; then kill -QUIT "$(cat pid)"; kill -CONT "$(cat pid)"; sleep 1; fi
rm -rf "$PWD"
"""
"""What comes behind a test process that is killed, and so runs nothing at exit: it reads until the pipe breaks."""

T = TypeVar("T")


class Private:
    """A process of the tests' own, with a folder and a port. What it keeps is the same after it is started again."""

    def __init__(self, kind: str) -> None:
        self.folder = Path(mkdtemp(prefix=f"aiq-{kind}-"))
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        if os.getuid() == 0:
            shutil.chown(self.folder, unprivileged())
        atexit.register(self.end)
        # With a session of its own it is not killed with the tests.
        self._guard = subprocess.Popen(
            ["sh", "-c", GUARD], stdin=subprocess.PIPE, cwd=self.folder, start_new_session=True
        )

    def _run(self, command: list[str]) -> None:
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder, **without_rights())
        (self.folder / "pid").write_text(str(self._process.pid))

    def until(self, true: Callable[[], Any], seconds: float = READY_SECONDS) -> None:
        """Wait until something holds. What is refused meanwhile does not hold yet."""
        until = time.monotonic() + seconds
        while True:
            try:
                if true():
                    return
            except (asyncpg.PostgresError, OSError):
                if self._process is None or self._process.poll() is not None:
                    raise AssertionError(self.log()) from None
            assert time.monotonic() < until, self.log()
            time.sleep(LOOK_SECONDS)

    def ask(self, sql: str, *values: Any, user: str = SUPERUSER, database: str = DATABASE) -> list[tuple[Any, ...]]:
        """The rows that one statement answers, on a connection of its own."""

        async def answer() -> list[tuple[Any, ...]]:
            connection = await connect(self.port, user, database)
            try:
                return [tuple(row) for row in await connection.fetch(sql, *values)]
            finally:
                await connection.close(timeout=5)

        return aside(answer())

    def tell(self, script: str, *, user: str = SUPERUSER, database: str = DATABASE) -> None:
        """Run any number of statements."""

        async def run() -> None:
            connection = await connect(self.port, user, database)
            try:
                await connection.execute(script)
            finally:
                await connection.close(timeout=5)

        aside(run())

    def send(self, number: signal.Signals) -> None:
        """Send its process a signal, and its children none."""
        assert self._process is not None
        os.kill(self._process.pid, number)

    def send_all(self, number: signal.Signals) -> None:
        """Send a signal to its process and all of its children: SIGSTOP lets the whole server stand still."""
        assert self._process is not None
        for pid in (self._process.pid, *children(self._process.pid)):
            os.kill(pid, number)

    def kill(self) -> None:
        """SIGKILL to all of it at one moment, as when a machine fails, and wait until it is gone."""
        if self._process is None or self._process.poll() is not None:
            return
        # While it stands still it neither makes children nor learns of their end.
        self.send(signal.SIGSTOP)
        gone = children(self._process.pid)
        for pid in gone:
            os.kill(pid, signal.SIGKILL)
        self._process.kill()
        self._process.wait()
        until = time.monotonic() + READY_SECONDS
        while any_alive(gone):
            assert time.monotonic() < until, self.log()
            time.sleep(LOOK_SECONDS)

    def end(self) -> None:
        """Kill it, and remove its folder."""
        self.kill()
        (self.folder / "pid").unlink(missing_ok=True)
        self._guard.communicate(timeout=READY_SECONDS)

    def log(self) -> str:
        """What it has said."""
        return (self.folder / "log").read_text(errors="replace")[-4000:]

    def url(self, schema: str = "aiq", more: str = "", user: str = USER) -> str:
        """The address of a schema there."""
        return f"postgresql://{user}@127.0.0.1:{self.port}/{DATABASE}?schema={schema}{more}"


class Postgres(Private):
    """One PostgreSQL server with an empty database. Settings are `name=value`; later ones win."""

    SETTINGS = (
        "listen_addresses=127.0.0.1",
        "max_connections=100",
        # The machine is not to fail during a test. A process may: what is written is safe from that without waiting.
        "fsync=off",
        "full_page_writes=off",
    )

    def __init__(self, *settings: str) -> None:
        super().__init__("postgres")
        self._settings = settings

    def start(self, *more: str, ready: bool = True) -> "Postgres":
        """Start it, and wait until it answers."""
        data = self.folder / "data"
        if not data.exists():
            said = set_up(["cp", "-R", str(template()), str(data)])
            assert not said, said
        told = (*self.SETTINGS, f"unix_socket_directories={self.folder}", *self._settings, *more)
        options = [word for setting in told for word in ("-c", setting)]
        self._run([str(programs() / "postgres"), "-D", str(data), "-p", str(self.port), *options])
        if ready:
            self.until(lambda: self.ask("SELECT 1"))
        return self

    def stop(self) -> None:
        """End it in order, at once: what is open is rolled back, and every client is sent away."""
        if self._process is not None and self._process.poll() is None:
            self.send(signal.SIGINT)
            self._process.wait(READY_SECONDS)


@contextmanager
def private_server(*settings: str) -> Iterator[Postgres]:
    """A server for one test, which may do to it whatever it likes."""
    made = Postgres(*settings)
    try:
        yield made.start()
    finally:
        made.end()


Start: TypeAlias = Callable[..., Awaitable[Postgres]]


@contextmanager
def migrated_servers(*settings: str) -> Iterator[Start]:
    """Starts servers for one test, each with a schema and, after these, with settings of its own."""
    made: list[Postgres] = []

    async def begin(*more: str) -> Postgres:
        made.append(Postgres(*settings, *more))
        await asyncio.to_thread(made[-1].start)
        await migrate(made[-1].url())
        return made[-1]

    try:
        yield begin
    finally:
        for one in made:
            one.end()


class Pooler(Private):
    """A pgbouncer in transaction mode before such a server. Settings are lines of its `[pgbouncer]` section."""

    SETTINGS = ("pool_mode=transaction", "max_client_conn=200", "default_pool_size=10", "server_login_retry=0.1")

    def __init__(self, server: Postgres, *settings: str) -> None:
        super().__init__("pgbouncer")
        self._server = server
        self._settings = settings

    def start(self, *more: str) -> "Pooler":
        """Start it, and wait until the server answers through it."""
        users = self.folder / "users"
        users.write_text("".join(f'"{name}" ""\n' for name in (SUPERUSER, USER, WORKER)))
        config = self.folder / "pgbouncer.ini"
        own = ("listen_addr=127.0.0.1", f"listen_port={self.port}", "unix_socket_dir=", "auth_type=trust")
        settings = (*own, f"auth_file={users}", f"admin_users={SUPERUSER}", *self.SETTINGS, *self._settings, *more)
        # The last line of a name holds.
        config.write_text(
            f"[databases]\n* = host=127.0.0.1 port={self._server.port}\n[pgbouncer]\n" + "\n".join(settings) + "\n"
        )
        self._run([pgbouncer(), str(config)])
        self.until(lambda: self.ask("SELECT 1"))
        return self


@cache
def postgres_server() -> Postgres:
    """A private PostgreSQL server of this process."""
    return Postgres().start()


@cache
def pooler() -> Pooler:
    """A private pooler of this process, before that server."""
    return Pooler(postgres_server()).start()


@cache
def template() -> Path:
    """What the folders of this process's servers are copies of: initdb takes a second, and a copy a tenth of it."""
    data = Private("postgres-template").folder / "data"
    initdb = [str(programs() / "initdb"), "-D", str(data), "-U", SUPERUSER, "-A", "trust", "-E", "UTF8", "-N"]
    said = ""
    for locale in locales():
        said = set_up([*initdb, *locale])
        if not said:
            break
        shutil.rmtree(data, ignore_errors=True)
    assert not said, said
    first = f"CREATE ROLE {USER} LOGIN;\nCREATE ROLE {WORKER} LOGIN;\nCREATE DATABASE {DATABASE} OWNER {USER};\n"
    said = set_up([str(programs() / "postgres"), "--single", "-F", "-D", str(data), "postgres"], first)
    assert not said, said
    return data


def set_up(command: list[str], script: str = "") -> str:
    """Run a program to its end. Where it failed, what it has said."""
    done = subprocess.run(
        command, input=script, capture_output=True, text=True, cwd=gettempdir(), check=False, **without_rights()
    )
    return done.stderr if done.returncode or "ERROR:" in done.stderr else ""


def locales() -> list[list[str]]:
    """Of these the first that the server knows. Where English stands before bytes, a forgotten COLLATE "C" shows."""
    plain = ["--locale=C"]
    return [[*plain, "--locale-provider=icu", "--icu-locale=en-US"], plain] if version(programs()) >= 15 else [plain]


@cache
def programs() -> Path:
    """The folder of postgres and initdb. `AIQ_POSTGRES_BIN` names another one."""
    advice = "Install it (`apt-get install postgresql`, 13 or newer), or name its folder in AIQ_POSTGRES_BIN."
    named = os.environ.get("AIQ_POSTGRES_BIN")
    on_path = shutil.which("postgres")
    # Debian puts none of them on the PATH; others put a link there.
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: float(folder.parent.name))
    known = [Path(named)] if named else [*([Path(on_path).resolve().parent] if on_path else []), *reversed(debian)]
    found = next((folder for folder in known if (folder / "initdb").exists() and (folder / "postgres").exists()), None)
    assert found, (
        "The tests of the storage in PostgreSQL start servers of their own, and there is no "
        f"{named or 'PostgreSQL on the PATH, nor in /usr/lib/postgresql'}. {advice}"
    )
    assert version(found) >= OLDEST, f"{found} is of PostgreSQL {version(found)}: {OLDEST} or newer is needed. {advice}"
    return found


def version(folder: Path) -> int:
    """The major version of the server in a folder."""
    told = subprocess.run([str(folder / "postgres"), "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"(\d+)(\.|devel|beta|rc)", told)
    assert found, told
    return int(found[1])


@cache
def pgbouncer() -> str:
    """Where pgbouncer is. Debian puts it where only root looks."""
    found = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")
    assert found, (
        "Some tests of the storage in PostgreSQL put a pooler of their own before the server, and there is no "
        "pgbouncer on the PATH. Install it (`apt-get install pgbouncer`)."
    )
    return found


@cache
def unprivileged() -> str:
    """As whom servers run where the tests run as root."""
    known = {user.pw_name for user in pwd.getpwall()}
    return "postgres" if "postgres" in known else "nobody"


def without_rights() -> dict[str, Any]:
    """How a process is started that must not be root, and that no setting of the person at the keyboard reaches."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_", "LANG"))}
    started: dict[str, Any] = {"env": {**variables, "LC_ALL": "C"}}
    if os.getuid() == 0:
        user = pwd.getpwnam(unprivileged())
        started |= {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    return started


def processes() -> dict[int, tuple[int, str]]:
    """The parent and the state of each process of this machine. Not every one that has /proc has ps."""
    stats = [text_of(path) for path in Path("/proc").glob("[0-9]*/stat")]
    if not stats:
        command = ["ps", "-A", "-o", "pid=,stat=,ppid="]
        stats = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    # The name of the program, which may be anything, stands in parentheses.
    lines = [re.sub(r"\(.*\)", "", text, flags=re.DOTALL).split()[:3] for text in stats if text]
    return {int(pid): (int(parent), state[0]) for pid, state, parent in lines}


def text_of(path: Path) -> str:
    """What stands in a file, and nothing where it is gone."""
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def children(pid: int) -> list[int]:
    """The processes that a process has started. Each of PostgreSQL's leads a group of its own."""
    return [child for child, (parent, _) in processes().items() if parent == pid]


def any_alive(pids: list[int]) -> bool:
    """Whether one of these processes runs. One that has ended, and whom nobody has asked how, does not."""
    known = processes()
    return any(known[pid][1] not in "ZX" for pid in pids if pid in known)


async def connect(port: int, user: str = SUPERUSER, database: str = DATABASE) -> "asyncpg.Connection[asyncpg.Record]":
    """A connection that waits for nothing for ever. No statement is prepared by name: it may go through a pooler."""
    return await asyncpg.connect(
        host="127.0.0.1",
        port=port,
        user=user,
        database=database,
        ssl=False,
        timeout=5,
        command_timeout=ASK_SECONDS,
        statement_cache_size=0,
    )


def aside(work: Coroutine[Any, Any, T]) -> T:
    """Wait for some work outside of the test's loop, in which waiting is not possible, or which may be over."""
    return asyncio.run_coroutine_threadsafe(work, _loop()).result(2 * ASK_SECONDS)


@cache
def _loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    Thread(target=loop.run_forever, name="asks private servers", daemon=True).start()
    return loop
