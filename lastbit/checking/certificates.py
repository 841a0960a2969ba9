"""Certificates hold a quorum of votes that were really cast, for what they are said to certify."""

from __future__ import annotations

from collections.abc import Container, Iterable
from functools import lru_cache

from consensus.protocol import Adopt, Certify, Decide
from consensus.quorum import QuorumSystem
from lastbit.checking.violations import Violations
from lastbit.protocols.votes import VoteRules, VotesSeen

CERTIFIERS_KEPT = 64
"""Outputs whose certificates need no second look. A checkpoint certifies many heights, one replica after another."""


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
        self._is_quorum = lru_cache(maxsize=256)(quorum.is_quorum)  # the same voters are named again and again
        self._last: Decide | None = None  # with nothing wrong
        self._last_group: set[int] = set()  # and those whose votes bear it out
        self._last_certify: Certify | None = None  # one that votes bear out
        self._certifiers: dict[tuple[int, bytes], set[int]] = {}  # by height and output, those who bear it out

    def decided_like_the_last(self, decide: Decide) -> bool:
        """Is it what another replica decided before, on votes that were cast as well? So it mostly is."""
        last, voters = self._last, decide.voters
        return (
            last is not None
            and decide.block is last.block
            and decide.state == last.state
            and decide.output == last.output
            and decide.view == last.view
            and (voters == last.voters or (self._is_quorum(voters) and self._last_group.issuperset(voters)))
        )

    def decided(self, replica: int, decide: Decide) -> None:
        """An honest replica names those whose votes decided a height."""
        groups = self._rules.decision(self._seen, decide)
        group = self._check(replica, decide.block.height, decide.voters, groups, "decided")
        self._last = None if group is None else decide
        self._last_group = group or set()

    def certified_like_another(self, certify: Certify) -> bool:
        """Is it what another replica certified before, on votes that were cast as well?"""
        if certify == self._last_certify:
            return True
        known = self._certifiers.get((certify.height, certify.output))
        return known is not None and known.issuperset(certify.voters) and self._is_quorum(certify.voters)

    def certified(self, replica: int, certify: Certify) -> None:
        """An honest replica names those whose votes certified an output."""
        groups = self._rules.output(self._seen, certify)
        group = self._check(replica, certify.height, certify.voters, groups, "certified an output")
        if group is not None:
            self._last_certify = certify
            self._certifiers[certify.height, certify.output] = group
            if len(self._certifiers) > CERTIFIERS_KEPT:
                del self._certifiers[next(iter(self._certifiers))]

    def adopted(self, replica: int, adopt: Adopt) -> None:
        """An honest replica took over a state, which a quorum must have vouched for."""
        if adopt.height <= self._seen.forgotten:
            return
        if not any(self._quorum.is_quorum(tuple(who)) for who in self._rules.state(self._seen, adopt)):
            what = f"replica {replica} took over a state that no quorum vouched for"
            self._violations.add("false-certificate", adopt.height, (replica,), what)

    def _check(
        self, replica: int, height: int, voters: tuple[int, ...], groups: Iterable[set[int]], did: str
    ) -> set[int] | None:
        """The group whose votes bear a certificate out; None where none does, or nobody can tell any more."""
        if not self._is_quorum(voters):
            weight, threshold = self._quorum.weight_of(voters), self._quorum.threshold
            what = f"replica {replica} {did} on votes of weight {weight}; a quorum is {threshold}"
            self._violations.add("false-certificate", height, (replica,), what)
            return None
        if height <= self._seen.forgotten:
            return None
        least = voters
        for group in groups:
            missing = tuple(voter for voter in voters if voter not in group)
            if not missing:
                return group
            least = min(least, missing, key=len)
        spoke = {voter for group in self._seen.groups(height) for voter in group.voters}
        uncast = [voter for voter in least if voter in self._honest or voter not in spoke]
        if uncast:
            names = ", ".join(map(str, uncast))
            what = f"replica {replica} {did} on votes that were not cast: those of {names}"
            self._violations.add("false-certificate", height, (replica,), what)
        return None
