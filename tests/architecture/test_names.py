"""Names: modules say what they hold, rules and limits have names of their own, and every limit that a caller meets is in one place."""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path
from typing import Final

import pytest

from domain import areas
from domain.kernel.rules import Rule
from services.bootstrap import CONTRACT
from services.runtime import limits
from tests.support.samples import rules_of

ROOT: Final = Path(__file__).parents[2]
PACKAGES: Final = ("domain", "projections", "services", "protos/safeguarding/hub/client", "deploy", "tests")
VAGUE: Final = frozenset({"utils", "util", "manager", "managers", "helper", "helpers", "data", "info", "misc", "common", "base", "stuff"})
"""A module called so says nothing of what is in it."""
UNITS: Final = frozenset(
    {"BYTES", "EVENTS", "STREAMS", "WATCHES", "SECONDS", "ROWS", "SHOWN", "THREADS", "ATTEMPTS", "RPCS", "APPENDS", "VIOLATIONS"}
)
KEPT_INSIDE: Final = {
    "services/bootstrap.py": {"DRAIN_MAX_SECONDS", "STOP_MAX_SECONDS"},
    "services/eventstore/fold.py": {"INTEGER_MAX"},
    "services/eventstore/reader.py": {"IDLE_MAX_CONNECTIONS"},
    "services/eventstore/digests.py": {"NODES_MAX", "SAID_MAX"},
    "services/eventstore/follower.py": {"BATCH_MAX_RECORDS", "CHECK_MAX_SECONDS", "DOUBT_MAX_SECONDS", "STALL_MAX_SECONDS"},
    "services/eventstore/brokers.py": {"BATCH_MAX_BYTES", "FRAMED_MAX_BYTES", "SEND_MAX_SECONDS"},
    "services/eventstore/kafka.py": {"CLOSE_MAX_SECONDS", "FETCH_MAX_RECORDS", "LOOK_MAX_SECONDS", "READ_AHEAD_MAX_BYTES"},
    "services/eventstore/log.py": {"ASK_MAX_SECONDS"},
    "services/eventstore/opening.py": {"EXPECTED_MAX_BYTES", "EXPECTED_MAX_EVENTS"},
    "services/eventstore/proposals.py": {"CLOSE_MAX_SECONDS"},
    "services/eventstore/sequencer.py": {"BATCH_MAX_APPENDS", "BATCH_MAX_BYTES"},
    "services/eventstore/tables.py": {"WAL_MAX_PAGES"},
    "services/intake/admission.py": {"GROUP_MAX_BYTES", "GROUP_MAX_EVENTS"},
    "services/intake/ahead.py": {"ANSWER_MAX_SECONDS", "EXAMINERS_MAX"},
    "services/intake/own.py": {"REFUSED_RETRY_MAX_SECONDS"},
    "services/intake/streams.py": {"STREAMS_MAX_KEPT"},
    "services/projector/projector.py": {"BATCH_MAX_EVENTS", "REST_MAX_SECONDS"},
    "services/projector/rebuild.py": {"BEHIND_MAX_SECONDS"},
    "services/runtime/interpreter.py": {"END_MAX_SECONDS", "YOUNG_MAX_OBJECTS"},
    "services/runtime/status.py": {"VIOLATIONS_MAX"},
    "services/trust/identity.py": {"CERTIFICATES_MAX_KEPT"},
    "services/trust/keystore.py": {"KEYS_MAX_KEPT"},
}
"""How much a module does at a time or keeps in memory: no caller ever meets it."""
FILES: Final = sorted(
    path.relative_to(ROOT)
    for package in PACKAGES
    for path in (ROOT / package).rglob("*.py")
    if not path.name.endswith(("_pb2.py", "_pb2_grpc.py")) and "__pycache__" not in path.parts
)


def constants(path: Path) -> set[str]:
    """Return the public constants that a module defines itself."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return {
        node.target.id
        for node in tree.body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and re.fullmatch(r"[A-Z][A-Z0-9_]*", node.target.id)
    }


def test_there_is_code_to_look_at() -> None:
    assert len(FILES) > 200


@pytest.mark.parametrize("package", PACKAGES)
def test_no_module_or_package_has_a_name_that_says_nothing(package: str) -> None:
    parts = {part.removesuffix(".py") for path in FILES if path.is_relative_to(package) for part in path.relative_to(package).parts}
    words = {word for part in parts for word in part.split("_")}
    assert words & VAGUE == set()


@pytest.mark.parametrize("package", [name for name in PACKAGES if name != "tests"])
def test_every_module_says_what_it_is(package: str) -> None:
    silent = [str(path) for path in FILES if path.is_relative_to(package) and not ast.get_docstring(ast.parse((ROOT / path).read_text()))]
    assert silent == []


def test_every_rule_has_an_id_of_its_own_words_and_an_authority() -> None:
    declared: Counter[str] = Counter()
    for path in FILES:
        if not path.is_relative_to("domain"):
            continue
        for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id == "rule"
                and isinstance(node.args[0], ast.Constant)
            ):
                declared[str(node.args[0].value)] += 1
    assert [rule_id for rule_id, count in declared.items() if count > 1] == []
    assert set(areas.RULES) <= set(declared), "every rule is written out once"
    for rule in areas.RULES.values():
        assert isinstance(rule, Rule)
        assert re.fullmatch(r"[a-z_]+\.[a-z0-9_]+", rule.id), rule.id
        assert rule.words.endswith("."), rule.id
        assert rule.source, rule.id


def test_every_limit_says_its_unit() -> None:
    names = constants(Path("services/runtime/limits.py"))
    assert len(names) > 20
    assert {name for name in names if name.split("_")[-1] not in UNITS} == set()
    assert all(isinstance(getattr(limits, name), int | float) and getattr(limits, name) > 0 for name in names)


def test_every_limit_that_a_caller_meets_is_in_one_module() -> None:
    served = [path for path in FILES if path.is_relative_to("services") and not path.is_relative_to("services/cli")]
    elsewhere = {
        str(path): names
        for path in served
        if path != Path("services/runtime/limits.py") and (names := {name for name in constants(path) if re.search(r"(^|_)MAX(_|$)", name)})
    }
    assert elsewhere == KEPT_INSIDE


def test_the_contract_says_the_same_limits() -> None:
    pages = [
        field
        for file in CONTRACT
        for message in file.message_types_by_name.values()
        for field in message.fields
        if field.name == "page_size"
    ]
    assert len(pages) >= 6
    assert {rules_of(field).uint32.lte for field in pages} == {limits.PAGE_MAX_ROWS}
    assert limits.ANSWER_MAX_BYTES < limits.GRPC_RECEIVE_MAX_BYTES
    assert limits.REQUEST_MAX_BYTES < limits.GRPC_RECEIVE_MAX_BYTES


def test_every_limit_is_used() -> None:
    served = [path for path in FILES if path.is_relative_to("services") and not path.is_relative_to("services/cli")]
    code = "\n".join((ROOT / path).read_text(encoding="utf-8") for path in served)
    unused = {name for name in constants(Path("services/runtime/limits.py")) if len(re.findall(rf"\b{name}\b", code)) < 2}
    assert unused == set()
