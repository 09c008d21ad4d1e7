"""What a backup says of itself: when it was taken, how far its log had come, and the SHA-256 of each of its files."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any, Final

from services.runtime.errors import IntegrityError
from services.trust.files import write_secret

FORMAT: Final = 1
FILE_NAME: Final = "manifest.json"
SUM_NAME: Final = "manifest.sha256"
"""The manifest's own SHA-256, as ``sha256sum --check`` reads it."""
EVENTS: Final = "store/events.sqlite"
KEYS: Final = "store/keys.sqlite"
VIEWS: Final = "store/views.sqlite"
KEK: Final = "trust/kek"
SETTINGS: Final = "hub.toml"
_BESIDE: Final = ("trust", "pki", "agencies")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardMark:
    """How far a shard had come. ``digest``: hexadecimal; ``next_offset``: the Kafka offset that a node goes on from."""

    shard: str
    position: int
    digest: str
    recorded_at_ms: int
    partition: int
    next_offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FileMark:
    """One file of the backup, by its path in the home."""

    path: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """All that a backup says of itself.

    ``log``: ``embedded`` or ``kafka`` (then the topic is the log, and this is what a node had folded of it); ``keys`` and ``views``:
    ``sqlite`` if they are in the backup, ``postgresql`` if they are left to that database's own backup, ``none`` if left out.
    ``data_keys``: to how many the log refers; ``destroyed``: the ids of those that were destroyed by then.
    """

    format: int
    made_at: datetime
    log_origin: str
    node_id: str
    log: str
    keys: str
    views: str
    shards: tuple[ShardMark, ...]
    data_keys: int
    destroyed: tuple[str, ...]
    files: tuple[FileMark, ...]

    @property
    def events(self) -> int:
        """How many events the log held."""
        return sum(shard.position for shard in self.shards)

    @property
    def paths(self) -> frozenset[str]:
        """The files that it holds."""
        return frozenset(file.path for file in self.files)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest and its sum into a backup's folder."""
    document = asdict(manifest) | {"made_at": manifest.made_at.isoformat()}
    content = (json.dumps(document, indent=2) + "\n").encode()
    write_secret(folder / FILE_NAME, content)
    write_secret(folder / SUM_NAME, _sum_of(content))


def read_manifest(folder: Path) -> Manifest:
    """Read a backup's manifest; raise ``IntegrityError`` if there is none, it was changed, or a newer program wrote it."""
    try:
        content = (folder / FILE_NAME).read_bytes()
        expected = (folder / SUM_NAME).read_bytes()
    except FileNotFoundError as error:
        raise IntegrityError(f"{folder} is no backup, or not all of one: {Path(error.filename).name} is missing") from None
    if _sum_of(content) != expected:
        raise IntegrityError(f"{FILE_NAME} is not what was written: its SHA-256 differs from {SUM_NAME}")
    try:
        document = json.loads(content)
        if document["format"] != FORMAT:
            raise IntegrityError(f"{FILE_NAME} is of format {document['format']}, this program reads format {FORMAT}")
        return _manifest_of(document)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise IntegrityError(f"{FILE_NAME} cannot be read: {type(error).__name__}: {error}") from None


def _sum_of(content: bytes) -> bytes:
    """Return the line that ``sha256sum`` would write for the manifest."""
    return f"{hashlib.sha256(content).hexdigest()}  {FILE_NAME}\n".encode()


def _manifest_of(document: dict[str, Any]) -> Manifest:
    """Return the manifest that a JSON document is; raise ``ValueError``, ``TypeError`` or ``KeyError`` if it is none."""
    made_at = datetime.fromisoformat(document["made_at"])
    shards = tuple(ShardMark(**shard) for shard in document["shards"])
    files = tuple(FileMark(**file) for file in document["files"])
    manifest = Manifest(**document | {"made_at": made_at, "shards": shards, "destroyed": tuple(document["destroyed"]), "files": files})
    for file in files:
        _demand_place(file.path)
    if not all(_DIGEST.fullmatch(text) for text in (*(shard.digest for shard in shards), *(file.sha256 for file in files))):
        raise ValueError("a digest has 64 hexadecimal digits")
    if len(manifest.paths) < len(files) or EVENTS not in manifest.paths or (KEYS in manifest.paths) != (manifest.keys == "sqlite"):
        raise ValueError("it names a store twice, or not at all")
    return manifest


def _demand_place(text: str) -> None:
    """Raise ``ValueError`` for a file that belongs nowhere in a home: a backup must not write elsewhere."""
    path = PurePosixPath(text)
    inside = str(path) == text and not path.is_absolute() and ".." not in path.parts and len(path.parts) > 1 and path.parts[0] in _BESIDE
    if not inside and text not in {EVENTS, KEYS, VIEWS, SETTINGS}:
        raise ValueError(f"{text!r} is no file of a home")
