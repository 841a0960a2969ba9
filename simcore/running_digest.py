"""The running digest: one SHA-256 over the whole history of events, in the order in which they happened.

Two runs with equal outcomes but other schedules have other digests. Every event is one record of fixed length, and its
order is its place among them. A record has two halves, so that those of a message's copies are put together of what is
there already: the *cause* (when the message was sent, its kind, its content) is the same for all copies, and the
*arrival* (how much later, and at which replica) was made along with the delays. Records gather in a list and are hashed
many at a time, which changes no digest.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable

CONTENT_BYTES = 16
KIND_END = 1 << 16
REPLICA_BITS = 16
REPLICAS_MAX = 1 << REPLICA_BITS

TIMER = KIND_END - 1
"""Kind of the event that a replica's timer fired. Kinds of messages count from 0."""
EXECUTION = KIND_END - 2
"""Kind of the event that a replica's execution ended."""

CAUSE = struct.Struct("<qH16s")
"""First half of a record, little-endian: time of sending in ns, kind, content."""
ARRIVAL = struct.Struct("<Q")
"""Second half: the delay in ns, shifted left by 16 bits, and in these the replica that the event happened to."""
RECORD_BYTES = CAUSE.size + ARRIVAL.size

GATHERED_MAX = 512
"""Stretches of records; each may hold as many as a message has copies."""


def content_of(encoded: bytes) -> bytes:
    """Shorten an encoded message to the 16 bytes that stand for it in the history.

    Example:
        >>> content_of(b"prepare 7").hex()
        'db1b48c13a80395daa723a643f272fcd'
    """
    return hashlib.blake2b(encoded, digest_size=CONTENT_BYTES).digest()


def cause_of(time_ns: int, kind: int, content: bytes) -> bytes:
    """Make the first half of a record.

    Raises:
        ValueError: content that is not 16 bytes long, or a kind outside 0 .. 65535.
    """
    if len(content) != CONTENT_BYTES:
        raise ValueError(f"content of {len(content)} bytes; it must be {CONTENT_BYTES}, see content_of")
    try:
        return CAUSE.pack(time_ns, kind, content)
    except struct.error:
        raise ValueError(
            f"kind {kind} is outside 0 .. {KIND_END - 1}, or time {time_ns} ns below 0 or too late"
        ) from None


def arrival_of(delay_ns: int, replica: int) -> bytes:
    """Make the second half of a record."""
    return ARRIVAL.pack(delay_ns << REPLICA_BITS | replica)


def delay_ns_of(arrival: bytes) -> int:
    """Read the delay in the second half of a record."""
    word: int = ARRIVAL.unpack(arrival)[0]
    return word >> REPLICA_BITS


class RunningDigest:
    """Hashes events as they happen.

    Args:
        on_records: is given every stretch of records (whole ones, in order) just before it is hashed.

    Example:
        >>> digest = RunningDigest()
        >>> digest.record(5, replica=0, kind=TIMER, content=content_of(b"view 1"))
        >>> digest.events, len(digest.hexdigest())
        (1, 64)
    """

    def __init__(self, on_records: Callable[[bytes], None] | None = None) -> None:
        self._hash = hashlib.sha256()
        self._on_records = on_records
        self._gathered: list[bytes] = []
        self._bytes_hashed = 0
        self.recorded = 0
        """Events that came through `record`: all but the copies that a network delivered."""
        self.append = self._gathered.append
        """Take whole records. The way in for the network, which calls `fold_when_full` now and then."""

    @property
    def events(self) -> int:
        """How many events the digest covers."""
        self._fold()
        return self._bytes_hashed // RECORD_BYTES

    def record(self, time_ns: int, *, replica: int, kind: int, content: bytes) -> None:
        """Take one event in that is no delivered copy.

        Raises:
            ValueError: content that is not 16 bytes long, or a kind outside 0 .. 65535.
        """
        self.append(cause_of(time_ns, kind, content) + arrival_of(0, replica))
        self.recorded += 1
        self.fold_when_full()

    def fold_when_full(self) -> None:
        """Hash what has gathered, if it is much, so that memory stays bounded."""
        if len(self._gathered) >= GATHERED_MAX:
            self._fold()

    def hexdigest(self) -> str:
        """Digest of the history so far, 64 hex digits; the history may go on."""
        self._fold()
        return self._hash.hexdigest()

    def _fold(self) -> None:
        records = b"".join(self._gathered)
        self._gathered.clear()
        if not records:
            return
        self._bytes_hashed += len(records)
        if self._on_records is not None:
            self._on_records(records)
        self._hash.update(records)
