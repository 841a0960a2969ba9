"""Tendermint with outputs in its headers: one replica over many heights, as a pure state machine.

After arXiv:1807.04938 (the rules are in `rules.py`) and the way CometBFT treats an application's hash. Replicas execute
what is proposed and prevote. The header of the next height states the output of this one (or, as the configuration may
say, the proposal states its own), and a replica whose arithmetic gave another output prevotes nil on it.

What follows from that:

- Replicas whose outputs differ commit a height together and find out at the next one: a decision names no output, and
  the next one certifies it.
- Who is outvoted, because a block that states another output than its own gets two thirds of the precommits, halts,
  or takes the state that goes with theirs over, as the configuration says.
- Where no output has two thirds behind it nobody halts: rounds end in nil, and the next proposer tries, without end.

The paper presumes gossip: what one correct replica has, all have in the end. Here messages may be lost, so a replica
that no timeout will wake asks all others what it has missed. A protocol has one timer, so of the timeouts of a round
only the last is waited for: once two thirds have precommitted, nobody needs this replica's vote to end the round.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from consensus.protocol import (
    Adopt,
    Block,
    BlockSource,
    Broadcast,
    Certify,
    Decide,
    Effects,
    Outvoted,
    Resync,
    Send,
)
from consensus.tendermint.certificates import CERTIFICATES_KEPT, CERTIFICATES_SENT_MAX, CertificateLog
from consensus.tendermint.config import TendermintConfig
from consensus.tendermint.early import EarlyMessages
from consensus.tendermint.events import TimedOut
from consensus.tendermint.messages import (
    NO_OUTPUT,
    CommitCertificate,
    Precommit,
    Prevote,
    Proposal,
    Signed,
    Status,
    Sync,
    Vote,
)
from consensus.tendermint.voting import Voting

EARLY_MAX = 16
"""Messages of heights to come that are kept of each sender: five rounds of one height."""


class Tendermint(Voting):
    """One replica. `id` is its position in the quorum system's weights; `source` gives the clients' blocks.

    Attributes:
        decided: the height up to which everything is decided.
        certified: the height up to which two thirds stand behind the outputs.
        halt_at: the height at which it was outvoted and stopped for good.
    """

    def __init__(self, replica: int, config: TendermintConfig, source: BlockSource) -> None:
        super().__init__(replica, config, source)
        self.decided = 0
        self.certified = 0
        self.halt_at: int | None = None
        self._pending: CommitCertificate | None = None  # decided by others, and not executed here yet
        self._certificates = CertificateLog()
        self._early = EarlyMessages(EARLY_MAX)
        self._asked_at = 0  # the height at which this replica last asked who is ahead

    # --- inputs -------------------------------------------------------------------------------------------

    def start(self) -> Effects:
        self._begin_height()
        self._settle()
        return self._drain()

    def receive(self, message: Any) -> Effects:
        ballot = self._ballots.get(message.__class__)
        if ballot is not None:  # most votes change nothing, and one look at them must do
            state = self.round_state
            if message.height == state.height:
                if message.round == state.round:
                    is_complete = ballot.join(message.sender, message.value)
                    if is_complete is False:
                        return ()
                    if is_complete:
                        self._log.votes.complete(message)
                        self._settle()
                        return self._drain()
            elif message.height < state.height:
                return ()  # decided already
        self._HANDLERS[message.__class__](self, message)
        return self._drain() if self._effects else ()

    def executed(self, block: Block, view: int, output: bytes) -> Effects:
        self._executing.discard((block.digest, view))
        if self._own is None:
            last = self._certificates.decided[self.decided]
            if (block, view) == (last.value.block, last.round):
                self._own = output
                self._begin_height()
        elif block.height == self.decided + 1:
            self._log.outputs.setdefault(block.digest, {})[view] = output
            if self._pending is not None:
                self._conclude(self._pending)
            elif self._proposal is None and self._ballots:
                self._offer_value()
        self._settle()
        return self._drain()

    def timeout(self) -> Effects:
        if self._armed is None:
            return ()
        awaited, height, round_ = self._armed
        self._armed = None
        if awaited is None:
            self._effects.append(Broadcast(Status(self.id, height, round_)))
            self._arm()
        else:
            self._feed(TimedOut(awaited, height, round_))
        self._settle()
        return self._drain()

    def recover(self) -> Effects:
        self._executing.clear()
        self._armed = None
        if self._own is None:
            self._execute_decided(self._certificates.decided[self.decided])
        elif self._pending is not None:
            self._execute_decided(self._pending)
        elif self._ballots:
            self._consider_proposals()
            self._offer_value()
        if self.halt_at is None:
            self._effects.append(Broadcast(Status(self.id, self.decided + 1, self.view)))
        if self._ballots:
            self._arm()
        self._settle()
        return self._drain()

    # --- heights ------------------------------------------------------------------------------------------

    def _begin_height(self) -> None:
        """Vote on the next height, or take it from a certificate that is there already."""
        height = self.decided + 1
        self._look_at(height)
        certificate = self._certificates.ahead.get(height)
        if certificate is not None:
            self._conclude(certificate)
        elif self.source(height) is not None:
            self._start_round(0)
            for message in self._early.take(height):
                self._HANDLERS[message.__class__](self, message)

    def _keep_for_later(self, message: Proposal | Vote) -> None:
        if message.height <= self.decided or message.round < 0 or self.halt_at is not None:
            return
        self._early.keep(message)
        if message.height > self.decided + 2 and self._asked_at <= self.decided and self._own is not None:
            self._asked_at = self.decided + 1
            self._effects.append(Send(message.sender, Status(self.id, self.decided + 1, self.view)))

    def _conclude(self, certificate: CommitCertificate) -> None:
        """The next height is decided: hand it on, or halt if it states another output than this replica's.

        A replica's output for a height is what it computes in the round that decides: an output of another round may be
        another one, and a replica that was away in that round would differ for that alone.
        """
        self._ballots = {}
        value, outputs = certificate.value, self._log.outputs.get(certificate.value.block.digest, {})
        self._certificates.ahead.pop(value.block.height, None)
        is_stated_here = self.config.digest == "proposal"
        agrees = value.digest in outputs.values() if is_stated_here else value.digest == self._own
        if is_stated_here and not agrees and certificate.round not in outputs:
            self._pending = certificate
            self._execute_decided(certificate)
            return
        self._pending = None
        if agrees or self.config.outvoted == "resync":
            self._decide(certificate, agrees)
        else:
            self.halt_at = value.block.height
            self._effects.append(Outvoted(value.block.height, certificate.round))

    def _decide(self, certificate: CommitCertificate, agrees: bool) -> None:
        value, round_, is_stated_here = certificate.value, certificate.round, self.config.digest == "proposal"
        self.decided, self.state = value.block.height, value.id
        self._certificates.add(certificate)
        if is_stated_here:
            self.certified = self.decided
            self._effects.append(Decide(value.block, value.digest, round_, certificate.voters, self.state))
        else:
            # Who decides a height stands behind what its header states: the output of the height before.
            self.certified = self.decided - 1
            if self.certified:  # no output comes before the first height
                self._effects.append(Certify(self.certified, value.digest, certificate.voters))
        if not agrees:
            self._resync(self.certified, value.digest)
        if not is_stated_here:
            self._effects.append(Decide(value.block, b"", round_, certificate.voters, self.state))
            outputs = self._log.outputs.get(value.block.digest, {})
            self._own = outputs.get(round_) if agrees else None  # what comes from the wrong state is no output
        if self._own is None:
            self._execute_decided(certificate)
        else:
            self._begin_height()

    def _resync(self, height: int, output: bytes) -> None:
        self._executing.clear()
        self._effects.append(Resync(height, output))

    def _execute_decided(self, certificate: CommitCertificate) -> None:
        self._execute(certificate.value.block, certificate.round)

    # --- what was missed ----------------------------------------------------------------------------------

    def _on_status(self, message: Status) -> None:
        certificates = self._certificates.since(message.height)
        said: tuple[Signed, ...] = ()
        if message.height == self.decided + 1 and self._ballots:
            said = tuple(self._log.messages({message.round, self.view - 1, self.view}))
        if certificates or said:
            self._effects.append(Send(message.sender, Sync(self.id, certificates, said)))

    def _on_sync(self, message: Sync) -> None:
        for certificate in message.certificates:
            ahead = certificate.height - self.decided
            if self.halt_at is not None or ahead <= 0 or not certificate.holds(self.quorum):
                continue
            if ahead <= CERTIFICATES_SENT_MAX:
                self._certificates.ahead[certificate.height] = certificate
            elif ahead > CERTIFICATES_KEPT:
                self._adopt(certificate)
        next_one = self._certificates.ahead.get(self.decided + 1)
        if next_one is not None and self._own is not None and self._pending is None:
            self._conclude(next_one)
        for each in message.messages:
            self._HANDLERS[each.__class__](self, each)
        self._settle()

    def _adopt(self, certificate: CommitCertificate) -> None:
        """Take over the last state that a certificate vouches for: the heights before it are kept by nobody.

        A header states the output of the height before: that height's state is taken, and the header's own height then
        decided like any other.
        """
        value, height = certificate.value, certificate.height
        self._ballots = {}
        self._pending = None
        self._certificates = CertificateLog()
        if self.config.digest == "proposal":
            self.decided, self.state, self._own = height, value.id, NO_OUTPUT
            self._certificates.add(certificate)
        else:
            self.decided, self.state, self._own = height - 1, value.parent, value.digest
            self._certificates.ahead[height] = certificate
        self.certified = self.decided
        self._effects.append(Adopt(self.decided, self.state))
        self._resync(self.decided, value.digest)
        self._begin_height()

    _HANDLERS: ClassVar[dict[type, Callable[[Tendermint, Any], None]]] = {
        Proposal: Voting._on_proposal,
        Prevote: Voting._on_vote,
        Precommit: Voting._on_vote,
        Status: _on_status,
        Sync: _on_sync,
    }
