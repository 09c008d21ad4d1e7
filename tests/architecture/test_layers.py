"""Who may import whom: the contracts of ``.importlinter`` hold, and the program that checks them sees what breaks one."""

from __future__ import annotations

import os
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

ROOT = Path(__file__).parents[2]
CONFIGURATION = ROOT / ".importlinter"


def lint(configuration: Path) -> subprocess.CompletedProcess[str]:
    """Check the code's imports by a configuration."""
    paths = os.pathsep.join([str(ROOT), str(ROOT / "protos")])
    return subprocess.run(  # noqa: S603  # our own interpreter with our own arguments
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()", "--config", str(configuration)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": paths, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def contracts() -> dict[str, dict[str, str]]:
    """Return the contracts by id."""
    read = ConfigParser()
    read.read(CONFIGURATION)
    return {name.removeprefix("importlinter:contract:"): dict(read[name]) for name in read.sections() if ":contract:" in name}


def test_every_contract_holds() -> None:
    found = lint(CONFIGURATION)
    assert found.returncode == 0, found.stdout + found.stderr
    assert f"{len(contracts())} kept, 0 broken" in found.stdout


def test_a_breach_is_found_and_named(tmp_path: Path) -> None:
    wrong = tmp_path / "importlinter"
    wrong.write_text(
        "[importlinter]\nroot_packages =\n    domain\n    services\n    projections\n    safeguarding\n\n"
        "[importlinter:contract:wrong]\nname = nothing imports the domain\ntype = forbidden\n"
        "source_modules =\n    projections\nforbidden_modules =\n    domain\n"
    )
    found = lint(wrong)
    assert found.returncode != 0
    assert "nothing imports the domain BROKEN" in found.stdout


def test_the_contracts_are_those_of_the_architecture() -> None:
    found = contracts()
    assert found.keys() == {
        "layers",
        "domain-is-pure",
        "projections-know-no-transport",
        "kafka-in-one-place",
        "service-layers",
        "area-layers",
        "client-stands-alone",
        "deploy-stands-beside",
    }
    for name in ("service-layers", "area-layers"):
        assert found[name]["exhaustive"] == "True", "a new package has to be given its place"
    assert "services" in found["kafka-in-one-place"]["source_modules"].split(), "a new package names kafka no more than the others"
