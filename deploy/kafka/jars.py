"""What a broker is made of: Java, and Apache Kafka's jars, which Maven fetches once and keeps in a folder of this repository."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).resolve().parent
REPOSITORY: Final = HERE.parents[1]
LIBRARIES: Final = REPOSITORY / "build" / "kafka" / "libs"
"""Where the jars lie, unless another folder is named; git ignores it."""
FETCH_MAX_SECONDS: Final = 600.0
_POM: Final = HERE / "pom.xml"
_MADE_FROM: Final = "pom.xml"
"""The copy of the description beside the jars: while it is equal to ours, they are the right ones, and complete."""
_PACKAGES: Final = {"java": "openjdk-17-jre-headless", "mvn": "maven"}


class KafkaMissing(Exception):
    """The machine lacks what a broker needs; the text says what, and what to install."""


def program(name: str) -> str:
    """Return the path of ``java`` or ``mvn``; raise KafkaMissing naming the package to install when it is not on the PATH."""
    path = shutil.which(name)
    if path is None:
        lacking = [each for each in _PACKAGES if shutil.which(each) is None]
        packages = " and ".join(_PACKAGES[each] for each in lacking)
        raise KafkaMissing(f"Apache Kafka needs {' and '.join(lacking)}, not found on the PATH: install {packages}")
    return path


def jars(folder: Path = LIBRARIES) -> list[Path]:
    """Return a broker's jars, in an order that is always the same; only the first call fetches them.

    Raises KafkaMissing when Java or, for the first call, Maven is missing or fails: nothing incomplete is left behind.
    """
    program("java")
    with _alone(folder.with_name(f"{folder.name}.lock")):
        if not _is_complete(folder):
            _fetch(folder)
    return sorted(folder.glob("*.jar"))


def _is_complete(folder: Path) -> bool:
    made_from = folder / _MADE_FROM
    return made_from.is_file() and made_from.read_bytes() == _POM.read_bytes()


def _fetch(folder: Path) -> None:
    """Fetch into a folder beside, which takes the other's place when it is complete."""
    maven = program("mvn")
    print("fetching Apache Kafka (44 MB, once)", file=sys.stderr, flush=True)
    fresh = folder.with_name(f"{folder.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    options = ["-q", "-B", "-Dstyle.color=never", "-f", str(_POM), "-DincludeScope=runtime", f"-DoutputDirectory={fresh}"]
    try:
        done = subprocess.run(  # noqa: S603  Maven with our own arguments
            [maven, *options, "dependency:copy-dependencies"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=FETCH_MAX_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise KafkaMissing(f"Maven did not fetch Apache Kafka within {FETCH_MAX_SECONDS:.0f} s") from error
    if done.returncode:
        raise KafkaMissing(f"Maven could not fetch Apache Kafka: exit code {done.returncode}\n{done.stdout[-2000:]}")
    shutil.copyfile(_POM, fresh / _MADE_FROM)
    shutil.rmtree(folder, ignore_errors=True)
    fresh.rename(folder)


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Let one process at a time fetch; the others find the jars there."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("ab") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    try:
        jars()
    except KafkaMissing as error:
        sys.exit(str(error))
