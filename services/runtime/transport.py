"""How the gRPC server listens: mutual TLS only, bounded messages, connections of bounded age."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import grpc

from services.runtime.limits import CONNECTION_MAX_AGE_SECONDS, CONNECTION_MAX_STREAMS, GRPC_RECEIVE_MAX_BYTES, METADATA_MAX_BYTES

CONNECTION_GRACE_SECONDS: Final = 30
KEEPALIVE_SECONDS: Final = 30


def server_options() -> list[tuple[str, int]]:
    """Return the options of the server.

    A message over the limit ends its RPC with RESOURCE_EXHAUSTED and the connection lives; so does metadata over its limit. A connection's
    age is capped so that a certificate that is not renewed stops working.
    """
    return [
        ("grpc.max_receive_message_length", GRPC_RECEIVE_MAX_BYTES),
        ("grpc.max_metadata_size", METADATA_MAX_BYTES),
        ("grpc.absolute_max_metadata_size", METADATA_MAX_BYTES),
        ("grpc.max_concurrent_streams", CONNECTION_MAX_STREAMS),
        ("grpc.max_connection_age_ms", CONNECTION_MAX_AGE_SECONDS * 1000),
        ("grpc.max_connection_age_grace_ms", CONNECTION_GRACE_SECONDS * 1000),
        ("grpc.keepalive_time_ms", KEEPALIVE_SECONDS * 1000),
        ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
        ("grpc.so_reuseport", 0),  # a second hub on the port is an error, not a silent half of the traffic
    ]


def server_credentials(*, key_file: Path, certificate_file: Path, authority_file: Path) -> grpc.ServerCredentials:
    """Return credentials that demand a client certificate of the authority; raise ``OSError`` if a file cannot be read."""
    return grpc.ssl_server_credentials(
        [(key_file.read_bytes(), certificate_file.read_bytes())],
        root_certificates=authority_file.read_bytes(),
        require_client_auth=True,
    )
