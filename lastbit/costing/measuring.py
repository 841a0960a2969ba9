"""Measures what agreement costs: runs the real simulation and counts what arrives at every replica, and when."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from consensus.protocol import Block, Broadcast, Certify, ConsensusProtocol, Decide, Effects, Execute, Message
from lastbit.costing.closed_forms import CLOSED_FORMS, ClosedForm
from lastbit.costing.figures import Amount, Computing, Costs, Delays, Figure, Messages
from lastbit.node import Node
from lastbit.running import Prepared
from lastbit.scenario import Scenario
from lastbit.simulation import Simulation
from replicas.replica import Replica
from simcore.trace import TraceWriter

INTERVAL = 4
"""Blocks from one checkpoint, or catch-up package, to the next."""

MEASURED = range(INTERVAL + 1, 2 * INTERVAL + 1)
"""The heights that are measured: one interval, after one and before another."""

DELAY_NS = 1_000_000_000
"""Far longer than computing: whole delays and what is left of a time tell both apart."""


def measure(protocol: str, replicas: int) -> Costs:
    """Run a protocol, undisturbed, and say what a block costs.

    Args:
        protocol: as a scenario names it.
        replicas: how many there are.

    Raises:
        ScenarioError: no such protocol, or a number of replicas that no scenario can have.

    Example:
        >>> measure("pbft-classic", 4).messages.agreement
        Figure(measured=24, closed_form=24)
    """
    prepared = Prepared(_undisturbed(protocol, replicas))
    form = CLOSED_FORMS[protocol]
    with TraceWriter(None, prepared.header()) as writer:
        simulation = _Watched(prepared, writer, form.proposal)
        simulation.run()
    return _costs(simulation, form, prepared.replicas[0].compute_ns(1))


def _undisturbed(protocol: str, replicas: int) -> Scenario:
    return Scenario.from_mapping(
        {
            "name": "costs",
            "chain": {
                "protocol": protocol,
                "replicas": replicas,
                "blocks": 3 * INTERVAL,
                **_interval_of(protocol),
            },
            "model": {"name": "digits-mlp"},
            "network": {"latency": {"kind": "constant", "ms": DELAY_NS / 1e6}},
        }
    )


def _interval_of(protocol: str) -> dict[str, int]:
    if protocol in ("pbft", "pbft-classic"):
        return {"checkpoint_interval": INTERVAL}
    return {"cup_interval": INTERVAL} if protocol == "icp" else {}


# --- watching ---------------------------------------------------------------------------------------------


@dataclass
class _Log:
    """What happened in a run, by height.

    Attributes:
        delivered: copies by height and kind.
        proposed_ns: when the first proposal was broadcast.
        decided_ns, certified_ns: when the last replica decided, and knew that the output is certified.
        executions: of all replicas together.
    """

    delivered: Counter[tuple[int, str]] = field(default_factory=Counter)
    proposed_ns: dict[int, int] = field(default_factory=dict)
    decided_ns: dict[int, int] = field(default_factory=dict)
    certified_ns: dict[int, int] = field(default_factory=dict)
    executions: Counter[int] = field(default_factory=Counter)


class _Watched(Simulation):
    """A simulation that logs what goes into its protocols and comes out of them. All else is as in any run."""

    def __init__(self, prepared: Prepared, trace: TraceWriter, proposal: str) -> None:
        self.log = _Log()
        self._proposal = proposal
        super().__init__(prepared.scenario, prepared.replicas, prepared.streams, trace)

    def _node(self, replica: Replica, trace: TraceWriter) -> Node:
        node = super()._node(replica, trace)
        node.protocol = _Witness(node.protocol, self._proposal, self.log, lambda: self.world.now_ns)
        return node


class _Witness:
    """A replica's side of a protocol, word for word, that logs every input and every effect."""

    def __init__(self, protocol: ConsensusProtocol, proposal: str, log: _Log, now_ns: Callable[[], int]) -> None:
        self._protocol = protocol
        self._proposal = proposal
        self._log = log
        self._now_ns = now_ns

    def start(self) -> Effects:
        return self._logged(self._protocol.start())

    def receive(self, message: Message) -> Effects:
        self._log.delivered[message.height, message.kind] += 1
        return self._logged(self._protocol.receive(message))

    def timeout(self) -> Effects:
        return self._logged(self._protocol.timeout())

    def executed(self, block: Block, view: int, output: bytes) -> Effects:
        return self._logged(self._protocol.executed(block, view, output))

    def recover(self) -> Effects:
        return self._logged(self._protocol.recover())

    def _logged(self, effects: Effects) -> Effects:
        log = self._log
        for effect in effects:
            match effect:
                case Broadcast(message) if message.kind == self._proposal:
                    log.proposed_ns.setdefault(message.height, self._now_ns())
                case Decide():
                    log.decided_ns[effect.block.height] = self._now_ns()
                case Certify():
                    log.certified_ns[effect.height] = self._now_ns()
                case Execute():
                    log.executions[effect.block.height] += 1
        return effects


# --- counting ---------------------------------------------------------------------------------------------


def _costs(simulation: _Watched, form: ClosedForm, compute_ns: int) -> Costs:
    log, n = simulation.log, len(simulation.replicas)
    executions = _each(sum(log.executions[height] for height in MEASURED), INTERVAL * n)
    return Costs(
        protocol=simulation.kind.name,
        n=n,
        quorum=simulation.quorum.threshold,
        interval=INTERVAL,
        messages=_messages(log, form, n),
        delays=_delays(log, form),
        computing=Computing(
            block_ns=executions * compute_ns,
            executions=Figure(executions, 1),
            before_decision=Figure(_computed_before_decision(log, compute_ns), form.computed_before_decision),
        ),
    )


def _messages(log: _Log, form: ClosedForm, n: int) -> Messages:
    delivered: Counter[str] = Counter()
    for (height, kind), copies in sorted(log.delivered.items()):
        if height in MEASURED or height == 0:  # what belongs to no height belongs to no undisturbed run either
            delivered[kind] += copies
    others = n - 1

    def figure(kinds: Iterable[str], broadcasts: int, *, blocks: int = INTERVAL) -> Figure:
        return Figure(_each(sum(delivered[kind] for kind in kinds), blocks), broadcasts * others)

    agreement = (form.proposal, form.first_votes, form.second_votes)
    beside = (*form.certificates, *form.output_votes)
    named = {*agreement, *beside, *form.checkpoint_votes}
    every_block = 1 + form.first_voters(n) + n * (1 + len(beside))
    all_in_interval = INTERVAL * every_block + n * len(form.checkpoint_votes)
    return Messages(
        proposal=figure([form.proposal], 1),
        first_votes=figure([form.first_votes], form.first_voters(n)),
        second_votes=figure([form.second_votes], n),
        agreement=figure(agreement, 1 + form.first_voters(n) + n),
        certificates=figure(form.certificates, n * len(form.certificates)),
        output_votes=figure(form.output_votes, n * len(form.output_votes)),
        checkpoint_votes=figure(form.checkpoint_votes, n * len(form.checkpoint_votes), blocks=1),
        all_amortised=Figure(_each(delivered.total(), INTERVAL), _each(all_in_interval * others, INTERVAL)),
        other=figure(sorted(delivered.keys() - named), 0),
        kinds={kind: _each(delivered[kind], INTERVAL) for kind in (*agreement, *beside)},
    )


def _delays(log: _Log, form: ClosedForm) -> Delays:
    first, last = form.certified_delays(INTERVAL)
    certified_ns = log.certified_ns or log.decided_ns  # where votes name outputs, a decision certifies
    certified = [_whole_delays(log, height, certified_ns[height]) for height in MEASURED]
    next_block = [_whole_delays(log, height, log.proposed_ns[height + 1]) for height in MEASURED]
    decided = [_whole_delays(log, height, log.decided_ns[height]) for height in MEASURED]
    return Delays(
        decided=Figure(_mean(decided), form.decided_delays),
        next_block=Figure(_mean(next_block), form.next_block_delays),
        certified_first=Figure(min(certified), first),
        certified_last=Figure(max(certified), last),
    )


def _whole_delays(log: _Log, height: int, at_ns: int) -> int:
    return (at_ns - log.proposed_ns[height]) // DELAY_NS


def _computed_before_decision(log: _Log, compute_ns: int) -> Amount:
    """What no message was under way for, in executions."""
    rest_ns = [(log.decided_ns[height] - log.proposed_ns[height]) % DELAY_NS for height in MEASURED]
    return _each(sum(rest_ns), compute_ns * len(rest_ns))


def _mean(amounts: list[int]) -> Amount:
    return _each(sum(amounts), len(amounts))


def _each(total: int, among: int) -> Amount:
    """A share of a total: whole if it can be."""
    return total // among if total % among == 0 else total / among
