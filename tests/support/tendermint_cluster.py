"""The world for protocols alone, with replicas of Tendermint in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from support.cluster import MS, Cluster

from consensus.protocol import Certify, Outvoted, Resync
from consensus.tendermint import Tendermint, TendermintConfig
from consensus.tendermint.messages import NO_OUTPUT, Precommit, Prevote, Proposal, Signed, Sync, Value
from consensus.tendermint.vote_keeper import two_thirds


@dataclass
class TendermintCluster(Cluster):
    """Replicas on a schedule; see `Cluster`."""

    config: TendermintConfig  # type: ignore[assignment]
    protocol: type[Tendermint] = Tendermint  # type: ignore[assignment]

    def __post_init__(self) -> None:
        super().__post_init__()
        self.certified: list[list[Certify]] = [[] for _ in range(self.n)]
        self.outvoted: list[Outvoted] = []
        self.resynced: list[list[Resync]] = [[] for _ in range(self.n)]

    def _do(self, replica: int, effects: tuple[object, ...]) -> None:
        for effect in effects:
            if isinstance(effect, Certify):
                self.certified[replica].append(effect)
            elif isinstance(effect, Outvoted):
                self.outvoted.append(effect)
            elif isinstance(effect, Resync):
                self.resynced[replica].append(effect)
                self._lives[replica] += 1  # what it was executing is void
            else:
                super()._do(replica, (effect,))

    @property
    def halted(self) -> dict[int, int]:
        """The height at which each replica halted, for those who did."""
        return {replica: node.halt_at for replica, node in enumerate(self.inner) if node.halt_at is not None}  # type: ignore[misc]

    def said(self) -> Iterator[Signed]:
        """All that anybody signed and somebody sent, be it handed on."""
        for _, _, message in self.sent:
            if isinstance(message, Sync):
                yield from message.messages
            elif isinstance(message, Proposal | Prevote | Precommit):
                yield message

    def could_be_a_quorum(self, voters: set[int]) -> bool:
        """Are these two thirds, together with the faulty, who may have signed anything?"""
        return self.config.quorum.is_quorum(voters | self.behaviours.keys())

    def check_honest_votes(self) -> None:
        """No honest replica votes twice in one round, or against its lock without a later polka."""
        cast: dict[tuple[str, int, int, int], bytes | None] = {}
        prevoters: dict[tuple[int, int, bytes | None], set[int]] = {}
        for message in self.said():
            if isinstance(message, Prevote):
                prevoters.setdefault((message.height, message.round, message.value), set()).add(message.sender)
            if isinstance(message, Prevote | Precommit) and message.sender in self.honest:
                ballot = (message.kind, message.sender, message.height, message.round)
                assert cast.setdefault(ballot, message.value) == message.value, f"voted twice: {ballot}"
        for (kind, replica, height, round_), locked in cast.items():
            if kind != "precommit" or locked is None:
                continue
            assert self.could_be_a_quorum(prevoters[height, round_, locked]), "a precommit without a polka"
            for later in range(round_ + 1, max(at for _, _, _, at in cast) + 1):
                again = cast.get(("precommit", replica, height, later))
                if again is not None:
                    break  # from there on another lock holds
                vote = cast.get(("prevote", replica, height, later))
                if vote is None or vote == locked:
                    continue
                polkas = (prevoters.get((height, at, vote), set()) for at in range(round_, later))
                assert any(map(self.could_be_a_quorum, polkas)), f"replica {replica} broke its lock"

    def check_outvoted(self) -> None:
        """Who halted was outvoted: two thirds precommitted, in one round, a value that states another output.

        And who went on computed what is certified, or took the state over that goes with it.
        """
        precommits: dict[tuple[int, int, bytes], set[int]] = {}
        values = {message.value.id: message.value for message in self.said() if isinstance(message, Proposal)}
        for message in self.said():
            if isinstance(message, Precommit) and message.value is not None:
                precommits.setdefault((message.height, message.round, message.value), set()).add(message.sender)
        for replica, height in self.halted.items():
            if replica not in self.honest:
                continue
            outvoted_by = [
                values[value]
                for (at, _, value), voters in precommits.items()
                if at == height and self.could_be_a_quorum(voters)
            ]
            assert outvoted_by, f"replica {replica} halted without being outvoted"
            (value,) = set(outvoted_by)
            assert not self.is_own(replica, value), f"replica {replica} halted though its output was stated"
        for replica in self.honest:
            adopted = {adopt.height for adopt in self.adopted[replica]}
            outputs = [each for each in self.outputs(replica) if each[0] not in adopted]
            resynced = [(each.height, each.output) for each in self.resynced[replica] if each.height not in adopted]
            assert resynced == [each for each in outputs if not self.computed(replica, *each)], (
                f"replica {replica} should have halted, or taken the state over"
            )
            assert not resynced or self.config.outvoted == "resync"

    def is_own(self, replica: int, value: Value) -> bool:
        """Does a value state what this replica itself computed, in whatever round?"""
        height, digest = value.block.height, value.digest
        if self.config.digest == "next-header":
            return digest == NO_OUTPUT if height == 1 else self.computed(replica, height - 1, digest)
        return digest in {self.answer(replica, value.block, view) for _, _, view in self.executions}

    def outputs(self, replica: int) -> Iterator[tuple[int, bytes]]:
        """What two thirds stand behind, as a replica says."""
        if self.config.digest == "next-header":
            yield from ((certify.height, certify.output) for certify in self.certified[replica])
        else:
            yield from ((height, decide.output) for height, decide in self.decided[replica].items())

    def computed(self, replica: int, height: int, output: bytes) -> bool:
        """Is this a replica's own output of a height that it has decided?"""
        decide = self.decided[replica][height]
        if self.config.digest == "next-header":
            return output == self.answer(replica, decide.block, decide.view)
        return output in {self.answer(replica, decide.block, view) for _, _, view in self.executions}

    def check_no_fork(self) -> None:
        """As in all protocols; and of each height but the last one output is certified, in order."""
        super().check_no_fork()
        outputs: dict[int, bytes] = {}
        for replica in self.honest:
            certified = self.certified[replica]
            if self.config.digest == "proposal":
                assert not certified, "certified apart, where votes name the output"
                continue
            assert [certify.height + 1 for certify in certified] == [each for each in self.decided[replica] if each > 1]
            for certify in certified:
                assert self.config.quorum.is_quorum(certify.voters), "an output certified without a quorum"
                assert outputs.setdefault(certify.height, certify.output) == certify.output, "two outputs certified"

    def rounds(self, height: int) -> int:
        """The last round of a height in which anybody was."""
        return max(message.round for message in self.said() if message.height == height)


def tendermint(n: int = 4, **settings: Any) -> TendermintConfig:
    """A configuration with short timeouts."""
    weights = settings.pop("weights", (1,) * n)
    return TendermintConfig(
        quorum=two_thirds(weights), **{"timeout_ns": 100 * MS, "timeout_max_ns": 800 * MS} | settings
    )
