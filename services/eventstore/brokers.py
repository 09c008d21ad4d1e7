"""Where Apache Kafka is, and its clients as the hub needs them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka import errors as kafka_errors

from services.eventstore.log import ASK_MAX_SECONDS
from services.runtime.errors import Unavailable
from services.runtime.limits import RECORD_MAX_BYTES
from services.runtime.settings import Settings

TOPIC: Final = "hub.events.v1"
SEND_MAX_SECONDS: Final = 10.0
BATCH_MAX_BYTES: Final = 256 * 1024
"""Of what one request writes to one partition."""
FETCH_SECONDS: Final = 0.25
"""A fetch that finds nothing is answered after this."""
FRAMED_MAX_BYTES: Final = RECORD_MAX_BYTES + 64 * 1024
"""The largest record with all that Kafka puts around it."""
MILLISECONDS: Final = 1_000

# No idempotence and no transactions: kafka-python's idempotent producer can hang for good after a delivery timeout, and the fold removes
# duplicates by append id (docs/adr/0003).
_PRODUCER: Final[Mapping[str, Any]] = {
    "acks": "all",
    "enable_idempotence": False,
    "delivery_timeout_ms": int(SEND_MAX_SECONDS * MILLISECONDS),
    "request_timeout_ms": 3_000,
    "max_block_ms": 5_000,
    "retry_backoff_ms": 100,
    "reconnect_backoff_max_ms": 1_000,
    "metadata_max_age_ms": 5_000,
    # One request at a time: what comes meanwhile makes up the next one, so that a request holds as much as there is to send.
    "linger_ms": 0,
    "max_in_flight_requests_per_connection": 1,
    "batch_size": BATCH_MAX_BYTES,
    "max_request_size": FRAMED_MAX_BYTES,
    "allow_auto_create_topics": False,
    "metrics_enabled": False,
}
_CONSUMER: Final[Mapping[str, Any]] = {
    "group_id": None,
    "enable_auto_commit": False,
    "auto_offset_reset": "none",
    "fetch_min_bytes": 1,
    "fetch_max_wait_ms": int(FETCH_SECONDS * MILLISECONDS),
    "request_timeout_ms": 2_000,
    "retry_backoff_ms": 100,
    "reconnect_backoff_max_ms": 1_000,
    "metadata_max_age_ms": 5_000,
    "allow_auto_create_topics": False,
    "metrics_enabled": False,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Kafka:
    """Where the log is. ``security``: the client's own settings for TLS and SASL (``security_protocol``, ``ssl_cafile`` …)."""

    bootstrap: tuple[str, ...]
    topic: str = TOPIC
    security: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, settings: Settings) -> Kafka:
        """Return where the settings say that Kafka is, and how to speak to it: by TLS, by SASL, or both, as far as they are set."""
        security: dict[str, object] = {}
        if settings.kafka_ca_file is not None:
            files = {"ssl_certfile": settings.kafka_certificate_file, "ssl_keyfile": settings.kafka_key_file}
            security = {"ssl_cafile": str(settings.kafka_ca_file), **{name: str(file) for name, file in files.items() if file is not None}}
        if settings.kafka_user:
            password = "" if settings.kafka_password is None else settings.kafka_password.get_secret_value()
            security |= {"sasl_mechanism": "SCRAM-SHA-512", "sasl_plain_username": settings.kafka_user, "sasl_plain_password": password}
        channel = "SSL" if settings.kafka_ca_file is not None else "PLAINTEXT"
        protocol = f"SASL_{channel}" if settings.kafka_user else channel
        return cls(bootstrap=settings.kafka_bootstrap, topic=settings.kafka_topic, security={"security_protocol": protocol, **security})

    def producer(self) -> Any:
        """Return the client that hands records over, set as the hub needs it."""
        return self._client(KafkaProducer, **_PRODUCER)

    def consumer(self, seconds: float = ASK_MAX_SECONDS) -> Any:
        """Return a client that reads what it is told to, set as the hub needs it; raise ``Unavailable`` if no broker answers in time."""
        return self._client(KafkaConsumer, seconds, **_CONSUMER)

    def admin(self) -> Any:
        """Return the client that makes and describes topics."""
        return self._client(KafkaAdminClient)

    def _client(self, kind: Callable[..., Any], seconds: float = ASK_MAX_SECONDS, **settings: Any) -> Any:
        """Return a client of the library; raise ``Unavailable`` if no broker answers in time."""
        within = int(seconds * MILLISECONDS)
        try:
            return kind(bootstrap_servers=list(self.bootstrap), bootstrap_timeout_ms=within, **settings, **self.security)
        except (kafka_errors.KafkaError, OSError) as error:
            raise Unavailable(f"no Kafka broker answers at {', '.join(self.bootstrap)}: {words(error)}") from error


def words(error: Exception) -> str:
    """Return what a client's error says."""
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
