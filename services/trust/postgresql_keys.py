"""Data keys in PostgreSQL: those of a hub of several nodes.

A node keeps unwrapped keys in memory, and a key may be destroyed by another node. So each node looks at the count of destructions every
``LOOK_SECONDS`` and forgets its keys when it has changed; one that could not look for ``STALE_SECONDS`` gives out no key until it can
again. That is how long a destroyed key may still open bodies on a node which the server does not answer, and no longer.

A server that hangs would hold up whoever asks, the event loop too: every question has a deadline on this side, and after one that was
not answered all are turned away at once until the thread that looks has got an answer.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from time import monotonic
from typing import Any, Final, TypeVar

import psycopg
import structlog
from psycopg.pq import TransactionStatus
from sqlalchemy.engine import make_url

from services.runtime.errors import IntegrityError, Unavailable
from services.trust import key_schema
from services.trust.keystore import (
    CHECK_ID,
    LOOK_SECONDS,
    Destroyed,
    KeptKeys,
    Row,
    Wrapping,
    demand_id,
    demand_log,
    never_existed,
    nothing_to_destroy,
)

STALE_SECONDS: Final = 5.0
CONNECT_SECONDS: Final = 3
READ_SECONDS: Final = 2.0
"""For one key: the event loop may be waiting."""
WRITE_SECONDS: Final = 10.0
TAKE_OVER_SECONDS: Final = 600.0
_TAKE_OVER_ROWS: Final = 5_000
_WORDS: Final = "the key database that HUB_KEYS_DATABASE_URL names"
_ROWS: Final = "SELECT id, nonce, wrapped FROM data_key WHERE id = ANY(%s)"
_INSERT: Final = """
INSERT INTO data_key (id, nonce, wrapped) SELECT * FROM unnest(%s::text[], %s::bytea[], %s::bytea[]) ON CONFLICT (id) DO NOTHING
"""
_DESTROY: Final = "UPDATE data_key SET nonce = NULL, wrapped = NULL WHERE id = ANY(%s)"
_COUNT: Final = "UPDATE key_store SET destructions = destructions + 1 RETURNING destructions"
_LOG: Final = structlog.get_logger("keystore")
_Connection = psycopg.Connection[tuple[Any, ...]]
T = TypeVar("T")


def _ignore(_answer: object) -> None:
    """Do nothing with an answer before it is returned."""


class PostgresqlKeyStore:
    """A ``KeyStore`` in a PostgreSQL database that nodes share; of several that ask for a new key at once all get the same.

    It takes two connections. What is committed is on the server's disk (``synchronous_commit=on``).
    """

    def __init__(self, url: str, kek: bytes) -> None:
        """Open, and make the tables if there are none. ``url``: as SQLAlchemy has it, ``postgresql+psycopg://…``.

        Raises ``IntegrityError`` if the keys were wrapped under another key-encryption key, ``Unavailable`` if the server does not let
        the hub in; no message quotes the URL.
        """
        self._wrapping = Wrapping(kek)
        self._closing = threading.Event()
        self._is_away = False
        self._fresh_until = 0.0
        self._reading = _Session(url)
        self._writing = _Session(url)
        self._watching = threading.Thread(target=self._watch, name="keystore-watch", daemon=True)
        try:
            if self._writing.ask(_version, WRITE_SECONDS) != key_schema.NEWEST:
                key_schema.bring_up_to_date(make_url(url), {"connect_timeout": CONNECT_SECONDS})
            self._writing.ask(self._prepare, WRITE_SECONDS)
            self._kept = KeptKeys(self._writing.ask(_destructions, WRITE_SECONDS))
            self._look()
        except BaseException:
            self.close()
            raise
        self._watching.start()

    def _prepare(self, connection: _Connection) -> None:
        """See that the key-encryption key is that of the store, whose first opening writes what this is seen by."""
        nonce, wrapped = self._wrapping.check()
        connection.execute(_INSERT, ([CHECK_ID], [nonce], [wrapped]))
        for key_id, row in _rows(connection, [CHECK_ID]).items():
            self._wrapping.unwrap(key_id, row)

    def belong_to(self, log: str | None) -> None:
        """As ``KeyStore.belong_to``."""
        self._ask(self._writing, lambda connection: _belong_to(connection, log), WRITE_SECONDS)

    def create(self, ids: Iterable[str]) -> dict[str, bytes | Destroyed]:
        """As ``KeyStore.create``."""
        found: dict[str, bytes | Destroyed] = {}
        wanted = []
        for key_id in dict.fromkeys(ids):
            demand_id(key_id)
            kept = self._find(key_id)
            if kept is None:
                wanted.append(key_id)
            else:
                found[key_id] = kept
        if wanted:
            rows, destructions = self._ask(self._writing, lambda connection: self._find_or_mint(connection, wanted), WRITE_SECONDS)
            keys = {key_id: self._wrapping.unwrap(key_id, rows[key_id]) for key_id in wanted}
            self._kept.keep(keys, destructions)
            found |= keys
        return found

    def _find_or_mint(self, connection: _Connection, ids: Sequence[str]) -> tuple[dict[str, Row], int]:
        """Return rows as they are on the server once this is committed, whoever made them, and the count of destructions before."""
        destructions = _destructions(connection)
        found = _rows(connection, ids)
        absent = sorted(set(ids) - found.keys())  # in one order on all nodes, so that none waits for another in a circle
        if absent:
            minted = [self._wrapping.mint(key_id) for key_id in absent]
            connection.execute(_INSERT, (absent, [nonce for nonce, _ in minted], [wrapped for _, wrapped in minted]))
            found |= _rows(connection, absent)
        return found, destructions

    def get(self, key_id: str) -> bytes | Destroyed:
        """As ``KeyStore.get``."""
        kept = self._find(key_id)
        if kept is not None:
            return kept
        demand_id(key_id)
        rows, destructions = self._ask(self._reading, lambda connection: _read(connection, key_id), READ_SECONDS)
        if key_id not in rows:
            raise never_existed(key_id)
        key = self._wrapping.unwrap(key_id, rows[key_id])
        self._kept.keep({key_id: key}, destructions)
        return key

    def destroy(self, key_id: str) -> None:
        """As ``KeyStore.destroy``. Its wrapped bytes stay on the server's disk for a while: see docs/runbooks/postgresql.md."""
        demand_id(key_id)
        self._ask(self._writing, lambda connection: _destroy(connection, key_id), WRITE_SECONDS, self._kept.learn)

    def take_over(self, rows: Mapping[str, Row], log: str | None) -> None:
        """Take the keys of another store of the same log and key-encryption key, as they are wrapped: all of them, or none.

        What is here already stays, and what is destroyed in either store is destroyed here. Raises ``IntegrityError`` if a key is another
        one here.
        """
        self._ask(self._writing, lambda connection: _take_over(connection, rows, log), TAKE_OVER_SECONDS, self._kept.learn)

    def close(self) -> None:
        """As ``KeyStore.close``."""
        self._closing.set()
        if self._watching.ident is not None:
            self._watching.join(WRITE_SECONDS + CONNECT_SECONDS)
        self._reading.close()
        self._writing.close()

    def _find(self, key_id: str) -> bytes | None:
        """Return a key that is kept, if it was just seen that no key was destroyed."""
        return self._kept.get(key_id) if monotonic() < self._fresh_until else None

    def _ask(self, session: _Session, question: Callable[[_Connection], T], seconds: float, heard: Callable[[T], None] = _ignore) -> T:
        """Ask the server, unless it did not answer when it was asked last."""
        if self._is_away:
            raise _NoAnswer(f"{_WORDS} does not answer")
        return self._answered(session, question, seconds, heard)

    def _answered(self, session: _Session, question: Callable[[_Connection], T], seconds: float, heard: Callable[[T], None]) -> T:
        """Return the server's answer, and note whether there was one."""
        try:
            answer = session.ask(question, seconds, heard)
        except _NoAnswer as error:
            if not self._is_away and not self._closing.is_set():
                _LOG.error("keystore.away", reason=str(error))
            self._is_away = True
            raise
        if self._is_away:
            _LOG.info("keystore.back")
        self._is_away = False
        return answer

    def _watch(self) -> None:
        """Look until closed."""
        while not self._closing.wait(LOOK_SECONDS):
            try:
                self._look()
            except Unavailable:
                continue  # said once, and tried again
            except Exception as error:  # noqa: BLE001  whoever watches must outlive whatever the database holds
                _LOG.error("keystore.watching_failed", error=type(error).__name__)

    def _look(self) -> None:
        """See whether a key was destroyed."""
        began = monotonic()
        self._answered(self._writing, _destructions, WRITE_SECONDS, self._kept.learn)
        self._fresh_until = began + STALE_SECONDS


class _NoAnswer(Unavailable):
    """The server said nothing at all."""


class _Session:
    """A connection that is asked one question at a time, and made anew when it was lost."""

    def __init__(self, url: str) -> None:
        """Connect when first asked."""
        address = make_url(url)
        _, self._address = address.get_dialect()().create_connect_args(address)
        self._lock = threading.Lock()
        self._connection: _Connection | None = None

    def ask(self, question: Callable[[_Connection], T], seconds: float, heard: Callable[[T], None] = _ignore) -> T:
        """Return the answer, in a transaction of its own; raise ``Unavailable`` without one within ``seconds`` and what connecting takes.

        A question may be asked twice, when its connection was lost meanwhile: it must not matter. ``heard`` is given the answer before the
        next question is asked, so that of two answers the later is heard last.
        """
        deadline = monotonic() + seconds
        if not self._lock.acquire(timeout=seconds):
            raise Unavailable(f"{_WORDS} is busy")
        try:
            while True:
                was_connected = self._connection is not None
                try:
                    answer = self._answer(question, deadline)
                except psycopg.Error as error:
                    code = error.sqlstate or type(error).__name__  # whose text may quote a password that was mistaken for the host
                    if self._connection is not None and _is_of_use(self._connection):
                        raise Unavailable(f"{_WORDS} does not do what is asked ({code})") from None
                    self._hang_up()
                    if not was_connected or monotonic() >= deadline:
                        raise _NoAnswer(f"{_WORDS} does not answer ({code})") from None
                else:
                    heard(answer)
                    return answer
        finally:
            self._lock.release()

    def close(self) -> None:
        """Hang up; idempotent."""
        if self._lock.acquire(timeout=READ_SECONDS):
            try:
                self._hang_up()
            finally:
                self._lock.release()

    def _answer(self, question: Callable[[_Connection], T], deadline: float) -> T:
        """Ask; a connection that says nothing until the deadline is cut, which is later by what connecting takes."""
        began = monotonic()
        connection = self._connection or self._connect()
        deadline += monotonic() - began
        cutting = threading.Timer(max(deadline - monotonic(), 0.0), _cut, [connection])
        cutting.daemon = True
        cutting.start()
        try:
            if self._connection is None:
                _make_strict(connection)
                self._connection = connection
            with connection.transaction():
                return question(connection)
        finally:
            cutting.cancel()
            cutting.join()
            if self._connection is None:
                connection.close()

    def _connect(self) -> _Connection:
        """Connect."""
        connection: _Connection = psycopg.connect(**{"connect_timeout": CONNECT_SECONDS, **self._address, "autocommit": True})
        return connection

    def _hang_up(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def _make_strict(connection: _Connection) -> None:
    """See that a session's commits are on the disk, and that nothing of it waits for long."""
    settings = {"synchronous_commit": "on", "lock_timeout": f"{WRITE_SECONDS}s", "idle_in_transaction_session_timeout": "60s"}
    for name, value in settings.items():
        connection.execute("SELECT set_config(%s, %s, false)", (name, value))


def _is_of_use(connection: _Connection) -> bool:
    """Tell whether questions can still be asked: one that was lost may only be seen to be in the middle of the last one."""
    return not connection.broken and connection.info.transaction_status is TransactionStatus.IDLE


def _cut(connection: _Connection) -> None:
    """End a connection from another thread: whoever waits for it hears at once that it is lost."""
    with suppress(psycopg.Error, OSError), socket.socket(fileno=os.dup(connection.fileno())) as line:
        line.shutdown(socket.SHUT_RDWR)


def _version(connection: _Connection) -> str | None:
    """Return the schema's version, None if there is no schema."""
    if connection.execute("SELECT to_regclass('alembic_version')").fetchone() == (None,):
        return None
    found = connection.execute(key_schema.VERSION).fetchone()
    return None if found is None else str(found[0])


def _destructions(connection: _Connection) -> int:
    """Return how often keys were destroyed."""
    ((count,),) = connection.execute("SELECT destructions FROM key_store").fetchall()
    return int(count)


def _rows(connection: _Connection, ids: Sequence[str]) -> dict[str, Row]:
    """Return the rows of keys, as far as they exist."""
    return {key_id: (nonce, wrapped) for key_id, nonce, wrapped in connection.execute(_ROWS, (list(ids),))}


def _read(connection: _Connection, key_id: str) -> tuple[dict[str, Row], int]:
    """Return a key's row, if it exists, and the count of destructions of the same moment."""
    found = connection.execute("SELECT nonce, wrapped, destructions FROM data_key, key_store WHERE id = %s", (key_id,)).fetchone()
    return ({}, 0) if found is None else ({key_id: (found[0], found[1])}, int(found[2]))


def _destroy(connection: _Connection, key_id: str) -> int:
    """Destroy a key; return the count of destructions."""
    if not connection.execute(_DESTROY, ([key_id],)).rowcount:
        raise nothing_to_destroy(key_id)
    return _count(connection)


def _count(connection: _Connection) -> int:
    """Count a destruction; return the count."""
    ((count,),) = connection.execute(_COUNT).fetchall()
    return int(count)


def _belong_to(connection: _Connection, log: str | None) -> None:
    """Be the store of a log; of two nodes that say so at once one waits for the other."""
    ((owner,),) = connection.execute("SELECT log FROM key_store FOR UPDATE").fetchall()
    demand_log(owner, log)
    if owner is None and log is not None:
        connection.execute("UPDATE key_store SET log = %s", (log,))


def _take_over(connection: _Connection, rows: Mapping[str, Row], log: str | None) -> int:
    """Take rows over, and hold what is here then against them; return the count of destructions."""
    _belong_to(connection, log)
    left = iter(rows.items())
    while batch := dict(islice(left, _TAKE_OVER_ROWS)):
        connection.execute(_INSERT, (list(batch), [nonce for nonce, _ in batch.values()], [wrapped for _, wrapped in batch.values()]))
        connection.execute(_DESTROY, ([key_id for key_id, (nonce, _) in batch.items() if nonce is None],))
        for key_id, row in _rows(connection, list(batch)).items():
            if row[0] is not None and row != batch[key_id]:
                raise IntegrityError(f"data key {key_id} is another one in the database: nothing was moved")
    return _count(connection)
