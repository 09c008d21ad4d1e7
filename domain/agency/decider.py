"""Who takes part and which keys may sign: said by the operator alone, in the national shard."""

from __future__ import annotations

from typing import Final, assert_never

from domain.agency.events import AgencyEnrolled, AgencySuspended, KeyRegistered, KeyRetired, KeyRevoked
from domain.agency.state import Agency, Enrolled, Key, Suspended, Unknown, keys_of
from domain.kernel.agencies import HUB_ID, OPERATOR_ID, AgencyKind, is_agency_id, kind_of
from domain.kernel.copies import replace
from domain.kernel.corrections import check_correction, is_correction, noted, root_of
from domain.kernel.decider import Context, Decider, reads_nothing
from domain.kernel.events import Event, Recorded
from domain.kernel.ids import NATIONAL, AgencyId, KeyId, identity_of
from domain.kernel.rules import Finding, Refused, Rule, rule

_SOURCE: Final = "Hub rule: agencies and keys are facts on the log, signed by the operator"

OPERATOR_ONLY: Final = rule(
    "agency.operator_only", "Only the operator enrols and suspends agencies and registers or ends their keys.", _SOURCE
)
STREAM: Final = rule("agency.stream", "What is said of an agency stands in the agency's own stream, in the national shard.", _SOURCE)
KIND: Final = rule("agency.kind", "The kind an agency is enrolled as is the one its id names.", _SOURCE)
SHARDS: Final = rule(
    "agency.shards",
    "The Panel, the operator and the hub write to all shards and so name none; any other agency names its own, never the national one.",
    _SOURCE,
)
NOT_ENROLLED: Final = rule("agency.not_enrolled", "An agency is enrolled before its keys are registered or it is suspended.", _SOURCE)
SUSPENDED: Final = rule("agency.suspended", "A suspended agency gets no new key until it is enrolled again.", _SOURCE)
OPERATOR_STAYS: Final = rule("agency.operator_stays", "The operator is never suspended: nobody could enrol it again.", _SOURCE)
HUB_STAYS: Final = rule("agency.hub_stays", "The hub is never suspended: who reads a case could not be recorded, so nobody could.", _SOURCE)
CONTRADICTION: Final = rule("agency.contradiction", "What was said of an agency or a key is not said again, except to correct it.", _SOURCE)
CORRECTION: Final = rule("agency.correction", "A correction points at an earlier event of its own type, about the same key.", _SOURCE)
KEY_NAME: Final = rule(
    "agency.key_name",
    "A key's id is its owner's id, a colon and a name of its own: \"la-E08000016:main\". So no key id can belong to two agencies.",
    _SOURCE,
)
KEY_TAKEN: Final = rule("agency.key_taken", "A key id is used once, whatever became of its key; a public key is registered once.", _SOURCE)
KEY_UNKNOWN: Final = rule("agency.key_unknown", "A key is registered before it is retired or revoked.", _SOURCE)
KEY_FINAL: Final = rule("agency.key_final", "A key's registration is never corrected: revoke it and register another.", _SOURCE)
KEY_ENDED: Final = rule("agency.key_ended", "A key is retired once and revoked once, and a revoked key is not retired.", _SOURCE)
RULES: Final[tuple[Rule, ...]] = (
    OPERATOR_ONLY,
    STREAM,
    KIND,
    SHARDS,
    NOT_ENROLLED,
    SUSPENDED,
    OPERATOR_STAYS,
    HUB_STAYS,
    CONTRADICTION,
    CORRECTION,
    KEY_NAME,
    KEY_TAKEN,
    KEY_UNKNOWN,
    KEY_FINAL,
    KEY_ENDED,
)

EVENTS: Final[tuple[type[Event], ...]] = (AgencyEnrolled, KeyRegistered, KeyRetired, KeyRevoked, AgencySuspended)
_EVERYWHERE: Final = frozenset({AgencyKind.PANEL, AgencyKind.OPERATOR, AgencyKind.HUB})


def admit(state: Agency, event: Event, context: Context) -> tuple[Finding, ...]:
    """Return no findings, or raise ``Refused``: about agencies and keys nothing is accepted that should not be so."""
    if context.agency_id != OPERATOR_ID:
        raise Refused(OPERATOR_ONLY)
    if context.shard != NATIONAL or _agency_of(event) != identity_of(context.stream):
        raise Refused(STREAM)
    check_correction(state.said, event, _key_of(event), context, CORRECTION)
    match event:
        case AgencyEnrolled():
            _check_enrolment(state, event)
        case AgencySuspended():
            _check_suspension(state, event)
        case KeyRegistered():
            _check_registration(state, event)
        case KeyRetired() | KeyRevoked():
            _check_end(state, event)
        case _:
            raise ValueError(f"{event.EVENT_TYPE} is no event of an agency stream")
    return ()


def _check_enrolment(state: Agency, event: AgencyEnrolled) -> None:
    if not is_agency_id(event.agency_id) or kind_of(event.agency_id) is not event.kind:
        raise Refused(KIND, f"the id {event.agency_id} does not name the kind {event.kind.value}")
    if (event.kind in _EVERYWHERE) == bool(event.shards) or NATIONAL in event.shards:
        raise Refused(SHARDS)
    if isinstance(state, Enrolled) and not is_correction(event):
        raise Refused(CONTRADICTION, "the agency is enrolled; correct the enrolment or suspend the agency first")


def _check_suspension(state: Agency, event: AgencySuspended) -> None:
    if event.agency_id == OPERATOR_ID:
        raise Refused(OPERATOR_STAYS)
    if event.agency_id == HUB_ID:
        raise Refused(HUB_STAYS)
    if isinstance(state, Unknown):
        raise Refused(NOT_ENROLLED)
    if isinstance(state, Suspended) and not is_correction(event):
        raise Refused(CONTRADICTION, "the agency is suspended already")


def _check_registration(state: Agency, event: KeyRegistered) -> None:
    match state:
        case Unknown():
            raise Refused(NOT_ENROLLED)
        case Suspended():
            raise Refused(SUSPENDED)
        case Enrolled():
            pass
        case _:
            assert_never(state)
    if is_correction(event):
        raise Refused(KEY_FINAL)
    owner, colon, name = event.key_id.partition(":")
    if owner != event.agency_id or not colon or not name:
        raise Refused(KEY_NAME)
    if event.key_id in state.keys:
        raise Refused(KEY_TAKEN, "the key id is taken")
    if any(key.public_key == event.public_key for key in state.keys.values()):
        raise Refused(KEY_TAKEN, "the public key is registered already, under another id")


def _check_end(state: Agency, event: KeyRetired | KeyRevoked) -> None:
    key = keys_of(state).get(event.key_id)
    if key is None:
        raise Refused(KEY_UNKNOWN)
    if is_correction(event):
        return
    if key.revoked_position is not None:
        raise Refused(KEY_ENDED, f"the key is revoked since position {key.revoked_position}")
    if key.retired_position is not None and isinstance(event, KeyRetired):
        raise Refused(KEY_ENDED, f"the key is retired since position {key.retired_position}")


def evolve(state: Agency, recorded: Recorded) -> Agency:
    """Return the next state.

    Of an event whose body is gone its type alone is known: an agency whose enrolment cannot be read counts as suspended, since nobody
    can tell where it may write; a key that nobody can name changes nothing.
    """
    event = recorded.event
    next_state = state
    match recorded.event_type:
        case AgencyEnrolled.EVENT_TYPE:
            next_state = _enrolled(state, recorded, event) if isinstance(event, AgencyEnrolled) else _unreadable(state, recorded)
        case AgencySuspended.EVENT_TYPE:
            if isinstance(state, Enrolled) and recorded.corrects is None:
                next_state = Suspended(was=state)
        case _:
            match event:
                case KeyRegistered():
                    next_state = _with_key(state, _registered(event, recorded.position))
                case KeyRetired() | KeyRevoked():
                    next_state = _with_key(state, _ended(state, event, recorded))
                case _:
                    pass
    return replace(next_state, said=noted(state.said, recorded, "" if event is None else _key_of(event)))


def _enrolled(state: Agency, recorded: Recorded, event: AgencyEnrolled) -> Agency:
    """Return the state after an enrolment, a new one after suspension, or the correction of one (which replaces the one in force only)."""
    root = root_of(state.said, recorded)
    before = state.was if isinstance(state, Suspended) else state
    corrects_in_force = isinstance(before, Enrolled) and root == before.enrolment
    if recorded.corrects is not None and not corrects_in_force:
        return state
    after = Enrolled(
        agency_id=event.agency_id,
        kind=event.kind,
        name=event.name,
        live_from=event.live_from,
        shards=event.shards,
        enrolment=root,
        keys=keys_of(state),
    )
    return replace(state, was=after) if isinstance(state, Suspended) and recorded.corrects is not None else after


def _unreadable(state: Agency, recorded: Recorded) -> Agency:
    """Return the state after an enrolment that cannot be read."""
    match state:
        case Suspended():
            return state
        case Enrolled():
            return Suspended(was=state)
        case Unknown():
            agency_id = AgencyId(identity_of(recorded.stream))
            kind = kind_of(agency_id)
            was = Enrolled(agency_id=agency_id, kind=kind, name="", live_from=None, shards=(), enrolment=recorded.event_id)
            return Suspended(was=was)
        case _:
            assert_never(state)


def _registered(event: KeyRegistered, position: int) -> Key:
    return Key(
        key_id=event.key_id,
        owner=event.agency_id,
        algorithm=event.algorithm,
        public_key=event.public_key,
        registered_position=position,
    )


def _ended(state: Agency, event: KeyRetired | KeyRevoked, recorded: Recorded) -> Key | None:
    """Return the key as it is now. A correction changes what is said of its end, never the position of it."""
    key = keys_of(state).get(event.key_id)
    if key is None or recorded.corrects is not None:
        return key
    if isinstance(event, KeyRetired):
        return replace(key, retired_position=recorded.position)
    return replace(key, revoked_position=recorded.position)


def _with_key(state: Agency, key: Key | None) -> Agency:
    if key is None:
        return state
    match state:
        case Unknown():
            return state
        case Enrolled():
            return replace(state, keys={**state.keys, key.key_id: key})
        case Suspended():
            return replace(state, was=replace(state.was, keys={**state.was.keys, key.key_id: key}))
        case _:
            assert_never(state)


def _agency_of(event: Event) -> AgencyId:
    match event:
        case AgencyEnrolled() | AgencySuspended() | KeyRegistered() | KeyRetired() | KeyRevoked():
            return event.agency_id
        case _:
            raise ValueError(f"{event.EVENT_TYPE} is no event of an agency stream")


def _key_of(event: Event) -> KeyId:
    match event:
        case KeyRegistered() | KeyRetired() | KeyRevoked():
            return event.key_id
        case _:
            return KeyId("")


def open_rules(_state: Agency) -> frozenset[Rule]:
    """Nothing here is accepted with a finding, so nothing waits to be mended."""
    return frozenset()


DECIDER: Final[Decider[Agency]] = Decider(
    category="agency",
    events=EVENTS,
    initial=Unknown(),
    reads=reads_nothing,
    admit=admit,
    evolve=evolve,
    open_rules=open_rules,
)
