"""What is installed is what is in the checkout, under both names."""

import importlib.metadata
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
NEEDED_TO_BUILD = ("pyproject.toml", "setup.py", "README.md", "LICENSE")
SHIPPED_SUFFIXES = {".lua", ".py", ".sql", ".typed"}
MAX_CORE_DISTRIBUTIONS = 3
PIP_WHEEL = (sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation")


def shipped_files() -> set[str]:
    """Every file that users need, by its place in an installation."""
    names = {"aiq": ROOT / "aiq", "aiq/testing/conformance": ROOT / "tests" / "conformance"}
    return {
        f"{name}/{path.relative_to(folder).as_posix()}"
        for name, folder in names.items()
        for path in folder.rglob("*")
        if path.suffix in SHIPPED_SUFFIXES
    }


def run(command: list[str], folder: Path, **variables: str) -> str:
    environment = {**os.environ, **variables}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def build_wheel(folder: Path) -> Path:
    """Build from a copy: a build leaves files behind, and old ones would find their way into the wheel."""
    checkout, dist = folder / "checkout", folder / "dist"
    for part in ("aiq", "tests/conformance"):
        shutil.copytree(ROOT / part, checkout / part, ignore=shutil.ignore_patterns("__pycache__"))
    for name in NEEDED_TO_BUILD:
        shutil.copy(ROOT / name, checkout)
    run([*PIP_WHEEL, "-w", str(dist), "."], checkout)
    return next(dist.glob("*.whl"))


def with_dependencies(name: str, known: set[str]) -> set[str]:
    """The distribution and everything it needs, extras aside."""
    if canonicalize_name(name) in known:
        return known
    known.add(canonicalize_name(name))
    for text in importlib.metadata.requires(name) or []:
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            with_dependencies(requirement.name, known)
    return known


@pytest.mark.faults
def test_the_wheel_holds_the_library_and_the_suite_and_nothing_else(tmp_path: Path) -> None:
    wheel = build_wheel(tmp_path)
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
        archive.extractall(tmp_path / "site")

    assert {name for name in held if ".dist-info/" not in name} == shipped_files()
    assert any(name.endswith("/LICENSE") for name in held)
    script = "import aiq.testing.conformance as suite; print(suite.__file__)"
    answer = run([sys.executable, "-c", script], tmp_path, PYTHONPATH=str(tmp_path / "site"))
    assert answer.startswith(str(tmp_path / "site"))


def test_the_core_installs_at_most_three_distributions() -> None:
    core = with_dependencies("aiq", set()) - {"aiq"}

    assert len(core) <= MAX_CORE_DISTRIBUTIONS, core


def test_every_tool_of_the_project_is_pinned() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    wanted = {canonicalize_name(Requirement(text).name) for group in extras.values() for text in group} - {"aiq"}
    lines = (ROOT / "requirements" / "dev.txt").read_text(encoding="utf-8").splitlines()
    pinned = {canonicalize_name(line.partition("==")[0]) for line in lines if "==" in line}

    assert wanted <= pinned, f"Renew requirements/dev.txt; it does not pin {sorted(wanted - pinned)}."
