"""What a proxy does to a connection: the tests of faults rest on it."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

import pytest

from tests.support.killing import free_port
from tests.support.tcp_proxy import Proxies, Proxy

QUIET_SECONDS = 0.2
ANSWER_MAX_SECONDS = 5.0


@dataclass
class Talk:
    """A client's connection through a proxy to a server that says back what it hears, and keeps it."""

    proxy: Proxy
    heard: list[bytes]

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.proxy.port), ANSWER_MAX_SECONDS)


@pytest.fixture
def talk() -> Iterator[Talk]:
    heard: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        with connection:
            try:
                while said := connection.recv(100):
                    heard.append(said)
                    connection.sendall(said)
            except OSError:
                return

    def take(listening: socket.socket) -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=[connection], daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=take, args=[listening], daemon=True).start()
        with Proxies({free_port(Random()): listening.getsockname()[1]}) as proxies:
            yield Talk(proxies.all[0], heard)
        listening.shutdown(socket.SHUT_RDWR)


def is_quiet(connection: socket.socket) -> bool:
    """Tell that nothing comes for a while."""
    connection.settimeout(QUIET_SECONDS)
    try:
        return not connection.recv(100)
    except TimeoutError:
        return True
    finally:
        connection.settimeout(ANSWER_MAX_SECONDS)


def is_cut(connection: socket.socket) -> bool:
    """Tell that the connection has been ended."""
    try:
        return connection.recv(100) == b""
    except ConnectionError:
        return True


def heard_in_time(talk: Talk, expected: list[bytes]) -> bool:
    """Tell that the server has heard this, soon."""
    deadline = time.monotonic() + ANSWER_MAX_SECONDS
    while talk.heard != expected and time.monotonic() < deadline:
        time.sleep(0.01)
    return talk.heard == expected


def test_bytes_pass_both_ways(talk: Talk) -> None:
    with talk.connect() as connection:
        connection.sendall(b"one")
        assert connection.recv(100) == b"one"


def test_what_is_held_back_from_the_server_arrives_when_the_way_is_free(talk: Talk) -> None:
    with talk.connect() as connection:
        talk.proxy.hold(to_server=True)
        connection.sendall(b"one")
        assert is_quiet(connection)
        assert talk.heard == []
        talk.proxy.heal()
        assert connection.recv(100) == b"one"


def test_what_is_held_back_from_the_client_was_heard_by_the_server(talk: Talk) -> None:
    with talk.connect() as connection:
        talk.proxy.hold(to_client=True)
        connection.sendall(b"one")
        assert heard_in_time(talk, [b"one"])
        assert is_quiet(connection)
        talk.proxy.heal()
        assert connection.recv(100) == b"one"


def test_an_answer_that_is_lost_never_comes_and_the_connection_is_cut_at_last(talk: Talk) -> None:
    with talk.connect() as connection, talk.connect() as silent:
        talk.proxy.lose_answers()
        connection.sendall(b"one")
        assert heard_in_time(talk, [b"one"])
        assert is_quiet(connection)
        talk.proxy.heal()
        assert is_cut(connection)
        silent.sendall(b"two")
        assert silent.recv(100) == b"two", "nothing was lost from it"


def test_bytes_come_later_and_in_order_when_they_are_delayed(talk: Talk) -> None:
    with talk.connect() as connection:
        talk.proxy.delay(to_server=QUIET_SECONDS, to_client=QUIET_SECONDS)
        began = time.monotonic()
        connection.sendall(b"one")
        connection.sendall(b"two")
        came = b""
        while len(came) < 6:
            came += connection.recv(100)
        assert came == b"onetwo"
        assert time.monotonic() - began >= 2 * QUIET_SECONDS


def test_connections_are_cut_and_new_ones_taken(talk: Talk) -> None:
    with talk.connect() as connection:
        connection.sendall(b"one")
        assert connection.recv(100) == b"one"
        talk.proxy.cut()
        assert is_cut(connection)
    with talk.connect() as connection:
        connection.sendall(b"two")
        assert connection.recv(100) == b"two"
