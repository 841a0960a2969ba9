"""The checkers of one run, and what each of them is told.

They stand apart from the protocols and ask them nothing. Whether two chains exist is seen by `lastbit.chain_watch`, and
whether the chain still moves by `lastbit.stall_watch`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from consensus.protocol import Adopt, Block, BlockSource, Certify, Decide, Message, Resync
from consensus.quorum import QuorumSystem
from lastbit.checking.certificates import Certificates
from lastbit.checking.double_votes import DoubleVotes
from lastbit.checking.validity import KnownOutputs, ValidBlocks
from lastbit.checking.violations import Violations
from lastbit.protocols.votes import VoteRules, VotesSeen

HEIGHTS_KEPT = 64
"""Heights remembered below those that are over for everybody: certificates of outputs come late to some."""


class Checkers:
    """Watches the nodes of one run for what no honest replica may do.

    Args:
        quorum: the weight that decides.
        honest: the replicas that follow the protocol.
        rules: what the protocol's messages mean as votes.
        asked: the clients' block for a height; None past the last one.
        now_ns: tells the simulated time.
    """

    def __init__(
        self,
        quorum: QuorumSystem,
        honest: Iterable[int],
        *,
        rules: VoteRules,
        asked: BlockSource,
        now_ns: Callable[[], int],
    ) -> None:
        self.violations = Violations(now_ns)
        self._honest = frozenset(honest)
        self._votes_of = rules.votes
        self._seen = VotesSeen()
        self._double_votes = DoubleVotes(self._honest, self.violations)
        self._certificates = Certificates(quorum, self._honest, rules, self._seen, self.violations)
        self._blocks = ValidBlocks(asked, self.violations)
        self._outputs = KnownOutputs(self.violations)

    def sent(self, replica: int, message: Message) -> None:
        """A replica sends a message, to one or to all. What it hands on of others is their word, not its own."""
        votes_of = self._votes_of.get(message.__class__)
        if votes_of is None or message.sender != replica:
            return
        for vote in votes_of(message):
            if self._seen.add(replica, vote):
                self._double_votes.contradicted(replica, vote)
            if vote.output is not None and replica not in self._honest:
                self._outputs.claimed(vote)

    def executed(self, replica: int, block: Block, output: bytes) -> None:
        """A replica executes a block."""
        if replica in self._honest:
            self._outputs.computed(block, output)

    def decided(self, replica: int, decide: Decide) -> None:
        """An honest replica decided the next height."""
        self._certificates.decided(replica, decide)
        self._blocks.decided(replica, decide.block)
        if decide.output:
            self._outputs.decided(replica, decide.block, decide.output)

    def certified(self, replica: int, certify: Certify) -> None:
        """An honest replica holds a certificate for the output of a height."""
        self._certificates.certified(replica, certify)
        self._outputs.certified(replica, certify.height, certify.output)

    def adopted(self, replica: int, adopt: Adopt) -> None:
        """An honest replica took the state after a height over from others."""
        self._certificates.adopted(replica, adopt)

    def resynced(self, replica: int, resync: Resync) -> None:
        """An honest replica took the certified output of a height over from others."""
        self._outputs.certified(replica, resync.height, resync.output)

    def forgot(self, replica: int) -> None:
        """A replica lost its memory."""
        self._double_votes.forgot(replica)

    def forget(self, height: int) -> None:
        """This height and those before it are over for everybody who may still come to them."""
        if height > HEIGHTS_KEPT:
            self._seen.forget(height - HEIGHTS_KEPT)
            self._outputs.forget(height - HEIGHTS_KEPT)
