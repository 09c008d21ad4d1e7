"""The agency's side of the safeguarding hub: typed events in, receipts out. See protos/README.md."""

from __future__ import annotations

from safeguarding.hub.client.blocking import BlockingHubClient
from safeguarding.hub.client.client import HubClient
from safeguarding.hub.client.drafts import Draft, NotSendable, Sender, Signed
from safeguarding.hub.client.identifiers import new_case_id, new_event_id
from safeguarding.hub.client.identity import Credentials, Identity, IdentityUnusable, SigningKey
from safeguarding.hub.client.moments import at_instant, day, in_month, in_period, in_year, on_day, timestamp
from safeguarding.hub.client.outbox import OutboxUnusable
from safeguarding.hub.client.outcomes import (
    AppendRefused,
    AppendUnresolved,
    CallFailed,
    ClientClosed,
    Code,
    FieldViolation,
    Finding,
    HubClientError,
    Outcome,
    Receipt,
    Refusal,
    Unresolved,
)
from safeguarding.hub.client.routes import query_metadata

__all__ = [
    "AppendRefused",
    "AppendUnresolved",
    "BlockingHubClient",
    "CallFailed",
    "ClientClosed",
    "Code",
    "Credentials",
    "Draft",
    "FieldViolation",
    "Finding",
    "HubClient",
    "HubClientError",
    "Identity",
    "IdentityUnusable",
    "NotSendable",
    "OutboxUnusable",
    "Outcome",
    "Receipt",
    "Refusal",
    "Sender",
    "Signed",
    "SigningKey",
    "Unresolved",
    "at_instant",
    "day",
    "in_month",
    "in_period",
    "in_year",
    "new_case_id",
    "new_event_id",
    "on_day",
    "query_metadata",
    "timestamp",
]
