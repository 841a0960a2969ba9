"""Certificates hold a quorum of votes that were really cast, for what they are said to certify."""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable

from consensus.protocol import Adopt, Certify, Decide
from consensus.quorum import QuorumSystem
from lastbit.checking.violations import Violations
from lastbit.protocols.votes import VoteRules, VotesSeen


class Certificates:
    """Compares the voters that honest replicas name with the votes that were seen.

    A faulty replica that votes at a height may have signed another vote for itself alone, and shown no more than the
    certificate made with it: it may be named where its vote was not seen.

    Args:
        quorum: the weight that certifies.
        honest: who is.
        rules: which votes count towards what.
        seen: the votes.
        violations: takes down what is found.
    """

    def __init__(
        self,
        quorum: QuorumSystem,
        honest: Container[int],
        rules: VoteRules,
        seen: VotesSeen,
        violations: Violations,
    ) -> None:
        self._quorum = quorum
        self._honest = honest
        self._rules = rules
        self._seen = seen
        self._violations = violations
        self._last_quorum: tuple[int, ...] | None = None

    def decided(self, replica: int, decide: Decide) -> None:
        """An honest replica names those whose votes decided a height."""
        groups = self._rules.decision(self._seen, decide)
        self._check(replica, decide.block.height, decide.voters, groups, "decided")

    def certified(self, replica: int, certify: Certify) -> None:
        """An honest replica names those whose votes certified an output."""
        groups = self._rules.output(self._seen, certify)
        self._check(replica, certify.height, certify.voters, groups, "certified an output")

    def adopted(self, replica: int, adopt: Adopt) -> None:
        """An honest replica took over a state, which a quorum must have vouched for."""
        if adopt.height <= self._seen.forgotten:
            return
        if not any(self._quorum.is_quorum(tuple(who)) for who in self._rules.state(self._seen, adopt)):
            what = f"replica {replica} took over a state that no quorum vouched for"
            self._violations.add("false-certificate", adopt.height, (replica,), what)

    def _check(
        self, replica: int, height: int, voters: tuple[int, ...], groups: Iterable[Collection[int]], did: str
    ) -> None:
        if voters != self._last_quorum and not self._quorum.is_quorum(voters):
            weight, threshold = self._quorum.weight_of(voters), self._quorum.threshold
            what = f"replica {replica} {did} on votes of weight {weight}; a quorum is {threshold}"
            self._violations.add("false-certificate", height, (replica,), what)
            return
        self._last_quorum = voters  # mostly the same for all, and then judged once
        if height <= self._seen.forgotten:
            return
        least = voters
        for group in groups:
            missing = tuple(voter for voter in voters if voter not in group)
            if not missing:
                return
            least = min(least, missing, key=len)
        uncast = [voter for voter in least if voter in self._honest or not self._seen.has_spoken(voter, height)]
        if uncast:
            names = ", ".join(map(str, uncast))
            what = f"replica {replica} {did} on votes that were not cast: those of {names}"
            self._violations.add("false-certificate", height, (replica,), what)
