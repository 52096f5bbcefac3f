"""From a folder to a plan: what is in it now decides which job it is."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from examples.digesting.tasks import Document, Plan, content_digest

SUFFIXES: Final = frozenset({".md", ".markdown", ".rst", ".txt"})
MAX_DOCUMENTS: Final = 40
"""More summaries might not fit into one page of a job's arguments; a larger folder is better digested in parts."""


class CannotDigest(Exception):
    """There is no such folder, nothing or too much in it, or nowhere to write to; the text says which."""


def make_plan(folder: Path, model: str, output: Path) -> Plan:
    """Read a folder. The same content, model and output make the same plan, and so the same job.

    Raises:
        CannotDigest: see there.
        OSError: a file cannot be read.
    """
    root, target = folder.resolve(), output.resolve()
    if not root.is_dir():
        raise CannotDigest(f"{folder} is not a folder.")
    if not target.parent.is_dir():
        raise CannotDigest(f"There is no folder {target.parent} to write {target.name} into.")
    documents = tuple(_documents(root, target))
    if not documents:
        raise CannotDigest(f"There is no text in {folder}: no file that ends in {', '.join(sorted(SUFFIXES))}.")
    if len(documents) > MAX_DOCUMENTS:
        raise CannotDigest(
            f"{folder} has {len(documents)} documents, and one digest takes {MAX_DOCUMENTS}. Digest its parts."
        )
    return Plan(str(root), documents, model, str(target))


def job_id(plan: Plan) -> str:
    """The id of a plan's job: a digest of all that is in it."""
    return f"digest-{hashlib.sha256(msgspec.json.encode(plan)).hexdigest()[:24]}"


def _documents(root: Path, target: Path) -> Iterator[Document]:
    for path in _files(root):
        # What we publish may stand in the folder itself; digesting it would make a new digest each time.
        if path.suffix.lower() in SUFFIXES and path.resolve() != target:
            content = path.read_bytes()
            if content.strip():
                yield Document(path.relative_to(root).as_posix(), content_digest(content), len(content))


def _files(root: Path) -> Iterator[Path]:
    """Every file below a folder, in the order of the alphabet; nothing that is hidden."""
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(folder, name) for name in sorted(files) if not name.startswith("."))
