"""What the runbook has an operator do when an agency's folder was stolen: each step as printed, against a real hub."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.support.builders import COUNCIL, POLICE
from tests.support.command import ROOT, Ran, copied_home, environment, ran, serving

RUNBOOK: Final = (ROOT / "docs/runbooks/embedded.md").read_text(encoding="utf-8")
STEP_MAX_SECONDS: Final = 60
SUSPENDED: Final = "wire.agency_suspended"
NO_ANSWER: Final = "no hub answers"


def steps() -> list[str]:
    """Return the blocks of commands of the section, in order."""
    section = RUNBOOK.split("## A key is lost or stolen")[1].split("\n## ")[0]
    return re.findall(r"```\n(.*?)```", section, re.DOTALL)


def done(home: Path, step: str) -> str:
    """Carry out one block in the home, and return what it printed."""
    hub = f'hub() {{ {shlex.quote(sys.executable)} -m services.cli.main "$@"; }}'
    ran_step = subprocess.run(  # noqa: S603  # a step of our own runbook
        ["/bin/sh", "-e", "-c", f"{hub}\n{step.replace('AGENCY', COUNCIL)}"],
        cwd=home,
        env=environment(HUB_HOME=str(home)),
        capture_output=True,
        text=True,
        timeout=STEP_MAX_SECONDS,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert ran_step.returncode == 0, ran_step.stdout + ran_step.stderr
    return ran_step.stdout


def asks(home: Path, agency: str) -> Ran:
    """Have an agency list its deadlines, with the certificate that a home holds."""
    return ran("deadlines", "--home", home, "--as", agency)


@pytest.mark.timeout(300)  # three lives of a hub, and some fifteen commands in processes of their own
def test_a_stolen_certificate_reads_until_its_authority_is_trusted_no_more(tmp_path: Path) -> None:
    home = tmp_path / "hub"
    at_once, new_authority, renewal, old_authority, back = steps()
    suspension, revocation = at_once.replace(" --reason", " --yes --reason").splitlines()
    with serving(home):
        for agency in (COUNCIL, POLICE):
            assert ran("agencies", "enrol", agency, "--name", "Synthetic", "--shard", "northmoor", "--with-key", "--home", home).code == 0
        thief = copied_home(home, tmp_path)
        (thief / "address").symlink_to(home / "address")
        done(home, revocation)
        assert asks(thief, COUNCIL).code == 0, "revoking the key ends no reading"
        done(home, suspension)
        assert SUSPENDED in asks(thief, COUNCIL).err
        done(home, new_authority)
    with serving(home):
        assert asks(thief, POLICE).code == 0, "nobody is shut out who has not been renewed yet"
        done(home, renewal)
        assert [asks(home, POLICE).code, asks(thief, POLICE).code] == [0, 0]
        assert SUSPENDED in asks(thief, COUNCIL).err
        done(home, old_authority)
    shutil.copy(home / "pki/ca.pem", thief / f"agencies/{COUNCIL}/ca.pem")  # it is public
    with serving(home):
        assert done(home, back).count("recorded at national/") == 2
        assert [asks(home, agency).code for agency in (COUNCIL, POLICE)] == [0, 0]
        assert NO_ANSWER in asks(thief, COUNCIL).err
