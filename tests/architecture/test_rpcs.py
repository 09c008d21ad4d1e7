"""Every RPC of the contract is served, and has an access rule that is declared here and tested over real sockets."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Final

import pytest

from services.agencies.append_service import AppendService
from services.bootstrap import APPEND_SERVICES, CONTRACT
from services.queries.chronology import Chronology
from services.queries.deadlines import Deadlines
from services.queries.event_log import EventLog
from services.queries.oversight import Oversight
from services.queries.registry import Registry
from tests.integration.test_query_access import every_query

INTEGRATION: Final = Path(__file__).parents[1] / "integration"
QUERY_SERVICES: Final[dict[str, type[Any]]] = {
    "ChronologyService": Chronology,
    "DeadlineService": Deadlines,
    "EventLogService": EventLog,
    "OversightService": Oversight,
    "RegistryService": Registry,
}


class Rule(Enum):
    """Who may call an RPC."""

    OWN_KIND = "agencies of the service's kind, each for itself"
    CASE = "who may read the case, judged now; anybody else is told that it is not there"
    LIST = "anybody enrolled; it holds the cases that the caller may read"
    PANEL = "the Panel alone"
    ENROLLED = "anybody enrolled"


@dataclass(frozen=True, slots=True)
class Access:
    """The rule of an RPC, and the tests that hold it to that rule."""

    rule: Rule
    tests: tuple[str, ...]


_PAIRINGS: Final = "test_append_services.py::test_only_the_matching_certificate_service_and_header_pass"
_CASE_TESTS: Final = tuple(
    f"test_query_access.py::{name}"
    for name in (
        "test_statutory_partners_and_the_business_unit_read_every_case_of_their_shard",
        "test_another_agency_reads_the_cases_it_is_linked_to_but_not_who_read_them",
        "test_nobody_else_reads_it_or_hears_of_it",
        "test_the_panel_reads_every_case_in_national_fields_save_what_was_sent_to_it",
        "test_a_restricted_case_is_there_for_the_named_agencies_only_and_for_the_panel",
        "test_not_there_and_not_yours_are_told_apart_by_nothing",
        "test_every_read_of_a_case_is_on_its_log_signed_by_the_hub",
    )
)
_PANEL_TESTS: Final = ("test_query_access.py::test_oversight_is_the_panels_alone_and_whoever_else_asks_is_on_record",)
_REGISTRY_TESTS: Final = tuple(
    f"test_query_access.py::{name}"
    for name in (
        "test_agencies_keys_and_the_partnership_are_open_to_whoever_is_enrolled",
        "test_a_certificate_of_an_agency_that_was_never_enrolled_reads_nothing",
    )
)
_LIST_TESTS: Final = (
    *_CASE_TESTS[:5],
    "test_query_access.py::test_a_list_leaves_one_record_and_a_subscription_one_for_each_case_in_a_batch",
)
_CHILD_TESTS: Final = (
    "test_query_access.py::test_the_cases_of_a_child_are_those_that_the_reader_sees_to_name_it",
    "test_query_access.py::test_whoever_looks_a_child_up_is_on_record",
)
APPEND: Final = {
    "AppendEvents": Access(Rule.OWN_KIND, (_PAIRINGS,)),
    "GetReceipt": Access(Rule.OWN_KIND, ("test_append_services.py::test_a_receipt_is_given_to_the_agency_that_appended_and_to_no_other",)),
}
QUERIES: Final = {
    "ChronologyService/GetChronology": Access(Rule.CASE, _CASE_TESTS),
    "ChronologyService/WatchChronology": Access(Rule.CASE, _CASE_TESTS),
    "ChronologyService/ListCasesOfChild": Access(Rule.LIST, _CHILD_TESTS),
    "DeadlineService/ListDeadlines": Access(Rule.LIST, _LIST_TESTS),
    "DeadlineService/ExplainDeadline": Access(Rule.CASE, _CASE_TESTS),
    "DeadlineService/WatchDeadlines": Access(Rule.LIST, _LIST_TESTS),
    "EventLogService/ReadStream": Access(Rule.CASE, _CASE_TESTS),
    "EventLogService/Subscribe": Access(Rule.LIST, _LIST_TESTS),
    "OversightService/ListCases": Access(Rule.PANEL, _PANEL_TESTS),
    "OversightService/GetTable": Access(Rule.PANEL, _PANEL_TESTS),
    "OversightService/GetTimeliness": Access(Rule.PANEL, _PANEL_TESTS),
    "RegistryService/ListAgencies": Access(Rule.ENROLLED, _REGISTRY_TESTS),
    "RegistryService/ListKeys": Access(Rule.ENROLLED, _REGISTRY_TESTS),
    "RegistryService/ListPartnerships": Access(Rule.ENROLLED, _REGISTRY_TESTS),
}
APPEND_NAMES: Final = {f"{service.__name__}Service": service for service in APPEND_SERVICES}


def rpcs() -> Iterator[tuple[str, str]]:
    """Yield every RPC of the contract by service and method."""
    for file in CONTRACT:
        for service in file.services_by_name.values():
            for method in service.methods:
                yield service.name, method.name


def test_the_hub_serves_every_file_of_the_contract_that_has_a_service() -> None:
    folder = Path(__file__).parents[2] / "protos/safeguarding/hub/v1"
    with_services = {path.name for path in folder.glob("*.proto") if "\nservice " in path.read_text(encoding="utf-8")}
    assert {Path(file.name).name for file in CONTRACT} == with_services


@pytest.mark.parametrize(("service", "method"), sorted(rpcs()))
def test_every_rpc_is_implemented_by_the_hubs_own_code(service: str, method: str) -> None:
    served: type[Any] = APPEND_NAMES[service] if service in APPEND_NAMES else QUERY_SERVICES[service]
    owner = next(cls for cls in served.__mro__ if method in vars(cls))
    assert owner.__module__.startswith("services."), "the generated base answers UNIMPLEMENTED"


def test_every_append_service_names_the_one_kind_of_agency_that_may_call_it() -> None:
    kinds = [service.KIND for service in APPEND_SERVICES]
    assert len(set(kinds)) == len(kinds) == 7
    assert all(issubclass(service, AppendService) for service in APPEND_SERVICES)


def test_every_rpc_has_an_access_rule() -> None:
    assert {(service, method) for service, method in rpcs() if service in APPEND_NAMES} == {
        (service, method) for service in APPEND_NAMES for method in APPEND
    }
    assert {f"{service}/{method}" for service, method in rpcs() if service not in APPEND_NAMES} == QUERIES.keys()


@pytest.mark.parametrize("declared", [*APPEND.items(), *QUERIES.items()], ids=lambda item: item[0])
def test_every_access_rule_is_tested(declared: tuple[str, Access]) -> None:
    _, access = declared
    assert access.tests
    for test in access.tests:
        file, _, name = test.partition("::")
        tree = ast.parse((INTEGRATION / file).read_text(encoding="utf-8"))
        assert name in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}, test


def test_every_query_that_may_show_a_case_asks_for_whom_and_why() -> None:
    asked = {method for method, _ in every_query("01890000-0000-7000-8000-00000000c001")}
    assert asked == {name for name, access in QUERIES.items() if access.rule is not Rule.ENROLLED}
