"""How the gRPC server listens: mutual TLS only, bounded messages, connections of bounded age."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from services.runtime.errors import Unavailable
from services.runtime.limits import CONNECTION_MAX_AGE_SECONDS, CONNECTION_MAX_STREAMS, GRPC_RECEIVE_MAX_BYTES, METADATA_MAX_BYTES

CONNECTION_GRACE_SECONDS: Final = 30
KEEPALIVE_SECONDS: Final = 30
T = TypeVar("T")


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
    """Return credentials that demand a client certificate of the authority.

    Raises ``OSError`` if a file cannot be read, ``Unavailable`` if it is not what it should be: gRPC would lay that to the port.
    """
    certificate = _read(certificate_file, x509.load_pem_x509_certificate, "certificate")
    _read(authority_file, x509.load_pem_x509_certificate, "certificate")
    key = _read(key_file, lambda pem: serialization.load_pem_private_key(pem, password=None), "private key without a password")
    if key.public_key() != certificate.public_key():
        raise Unavailable(f"{key_file} is not the key of {certificate_file}; hub pki server makes both anew")
    return grpc.ssl_server_credentials(
        [(key_file.read_bytes(), certificate_file.read_bytes())],
        root_certificates=authority_file.read_bytes(),
        require_client_auth=True,
    )


def _read(file: Path, load: Callable[[bytes], T], what: str) -> T:
    """Return what a PEM file holds; raise ``Unavailable`` if that is nothing of the kind."""
    try:
        return load(file.read_bytes())
    except (ValueError, TypeError):
        raise Unavailable(f"{file} holds no PEM {what}") from None
