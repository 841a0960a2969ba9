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
        honest = frozenset(honest)
        self.violations = Violations(now_ns)
        self._seen = VotesSeen(rules.readings)
        self._double_votes = DoubleVotes(honest, self.violations)
        self._certificates = Certificates(quorum, honest, rules, self._seen, self.violations)
        self._blocks = ValidBlocks(asked, self.violations)
        self._outputs = KnownOutputs(honest, self._seen, self.violations)

    def sent(self, replica: int, message: Message) -> None:
        """A replica sends a message, to one or to all."""
        for vote in self._seen.hear(replica, message):
            self._double_votes.contradicted(replica, vote)

    def executed(self, block: Block, output: bytes) -> None:
        """An honest replica executes a block, with an output that none had before it."""
        self._outputs.computed(block, output)

    def decided(self, replica: int, decide: Decide) -> None:
        """An honest replica decided the next height."""
        if self._certificates.decided_like_the_last(decide):
            return  # and what else there is to check has been
        self._certificates.decided(replica, decide)
        self._blocks.decided(replica, decide.block)
        if decide.output:
            self._outputs.decided(replica, decide.block, decide.output)

    def certified(self, replica: int, certify: Certify) -> None:
        """An honest replica holds a certificate for the output of a height."""
        if self._certificates.certified_like_another(certify):
            return  # and the output is known, too
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
