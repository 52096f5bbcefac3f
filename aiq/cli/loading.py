"""From MODULE:NAME on the command line to a Worker."""

import importlib
import sys
from pathlib import Path
from types import ModuleType
from typing import Final

from aiq.codecs import Codec, check_codecs
from aiq.differing import InCode
from aiq.errors import AiqError, InvalidInput
from aiq.task import Task
from aiq.worker import Worker

DEFAULT_NAME: Final = "worker"
DEFAULT_QUEUE: Final = "default"


def load_worker(target: str) -> Worker:
    """Import `module:name` or `path/to/file.py:name`, and answer the Worker of that name, or that it returns.

    The working directory comes first where modules are looked for, and a file's own directory before it.

    Raises:
        InvalidInput: there is no such module or name, the import fails, or it is no Worker.
    """
    module, place, name, found = _find(target, DEFAULT_NAME)
    if not isinstance(found, Worker):
        raise InvalidInput(_no_worker(module, place, name))
    return found


def load_codecs(target: str) -> tuple[Codec, ...]:
    """Import `module:name`, as above, and answer the list of codecs of that name, or that it returns.

    Raises:
        InvalidInput: there is no such module or name, the import fails, or it is no list of codecs.
    """
    _, place, name, found = _find(target, "codecs")
    if not isinstance(found, list | tuple):
        raise InvalidInput(f"{place}:{name} is no list of codecs: codecs = [aiq.Zlib(), aiq.AESGCM(…)].")
    return check_codecs(found)


def load_code(target: str) -> tuple[tuple[InCode, ...], str]:
    """Import `module:name`, as above, and answer the tasks and schedules of a worker, or a list of tasks, limits,
    budgets, prices and schedules; and the queue of jobs that say nothing of theirs.

    Raises:
        InvalidInput: there is no such module or name, the import fails, or it is nothing of that.
    """
    _, place, name, found = _find(target, "tasks")
    if isinstance(found, Worker):
        return (*found.tasks, *found.schedules), found.default_queue
    if not isinstance(found, list | tuple):
        kinds = "tasks, limits, budgets, prices and schedules"
        raise InvalidInput(f"{place}:{name} is neither an aiq.Worker nor a list of {kinds}.")
    return tuple(found), DEFAULT_QUEUE


def _find(target: str, default: str) -> tuple[ModuleType, str, str, object]:
    """The module, its place, the name, and what has it; what can be called is called."""
    place, _, named = target.partition(":")
    module, name = _import(place), named or default
    found: object = getattr(module, name, None)
    # A task can be called too, but is not meant to be run by a wrong word on the command line.
    if callable(found) and not isinstance(found, Task):
        found = _called(found, target)
    return module, place, name, found


def _import(place: str) -> ModuleType:
    _look_in(Path.cwd())
    if not place.endswith(".py"):
        return _module(place)
    path = Path(place).resolve()
    if not path.is_file():
        raise InvalidInput(f"There is no file {place}.")
    # Under its own name, not as a nameless script: a process of a task must find the module again.
    _look_in(path.parent)
    module = _module(path.stem)
    if module.__file__ is None or Path(module.__file__).resolve() != path:
        raise InvalidInput(f"{place} has the name of another module, {module.__file__}. Rename the file.")
    return module


def _look_in(folder: Path) -> None:
    if str(folder) in sys.path:
        sys.path.remove(str(folder))
    sys.path.insert(0, str(folder))


def _module(name: str) -> ModuleType:
    if not all(part.isidentifier() for part in name.split(".")):
        raise _unknown(name)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise _failed(f"Module {name}", error) from error
        raise _unknown(error.name) from error
    except Exception as error:
        # Whatever a module does when it is imported, its author is told.
        raise _failed(f"Module {name}", error) from error


def _unknown(name: str) -> InvalidInput:
    return InvalidInput(
        f"There is no module {name}. Say MODULE:WORKER as in an import, from {Path.cwd()}, or name a file: "
        "jobs.py:worker."
    )


def _called(found: object, target: str) -> object:
    assert callable(found)
    try:
        made: object = found()
    except AiqError:
        raise
    except Exception as error:
        raise _failed(target, error) from error
    return made


def _failed(what: str, error: Exception) -> InvalidInput:
    return InvalidInput(f"{what} fails: {type(error).__name__}: {error}. Where it does, --debug shows.")


def _no_worker(module: ModuleType, place: str, name: str) -> str:
    if not hasattr(module, name):
        workers = [key for key, value in vars(module).items() if isinstance(value, Worker)]
        there = f"It has {', '.join(workers)}." if workers else "Make one there: worker = aiq.Worker(queue, tasks=[…])."
        return f'{place} has no "{name}". {there}'
    return f"{place}:{name} is neither an aiq.Worker nor a function that needs no arguments and returns one."
