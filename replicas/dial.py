"""The dial: wrong answers at a chosen rate, for teaching and for events too rare to wait for.

Whether a request is marked is a draw of its own, addressed by the request and, as the dial says, by the replica and
the attempt; so it depends on nothing else, and on no order of asking. What a wrong answer is, `wrong_answers` says.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from replicas.forms import Form
from replicas.outputs import Outputs
from replicas.wrong_answers import wrong_answers_max
from simcore.streams import Streams

__all__ = ["Answers", "Dial", "DialError", "Duration", "Marks", "Scope", "check_room"]

Scope: TypeAlias = Literal["prompt", "replica"]
Answers: TypeAlias = Literal["distinct", "shared"]
Duration: TypeAlias = Literal["persistent", "transient"]

CHUNK_REQUESTS = 4096
CHUNKS_KEPT = 16
"""For each replica: requests of several heights, at several attempts, are in flight at once."""


class DialError(ValueError):
    """A setting of the dial is not allowed, or the outputs cannot hold as many wrong answers as it needs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dial:
    """How often an answer is wrong, for whom, and for how long.

    Args:
        rate: probability of a mark, 0 to 1.
        scope: "prompt": a marked request is marked for every replica. "replica": each replica is marked on its own.
        answers: "distinct": replica i gives wrong answer i. "shared": there is one wrong answer; a replica marked on
            its own gives it, and on a marked prompt a fair coin for each replica chooses between it and the truth.
        duration: "persistent": a retry of the block gives the same again. "transient": each attempt is drawn anew.

    Raises:
        DialError: a value that is not allowed.

    Example:
        >>> Dial(rate=1e-4, scope="replica").wrong_answers_needed(replicas=4)
        4
        >>> Dial(rate=1e4)
        Traceback (most recent call last):
            ...
        replicas.dial.DialError: rate: 10000.0 is no probability; from 0 to 1
    """

    rate: float
    scope: Scope = "prompt"
    answers: Answers = "distinct"
    duration: Duration = "persistent"

    def __post_init__(self) -> None:
        if isinstance(self.rate, bool) or not isinstance(self.rate, int | float) or not 0 <= self.rate <= 1:
            raise DialError(f"rate: {self.rate!r} is no probability; from 0 to 1")
        for key, allowed in (("scope", Scope), ("answers", Answers), ("duration", Duration)):
            if getattr(self, key) not in get_args(allowed):
                raise DialError(f"{key}: {getattr(self, key)!r} is not allowed; one of {', '.join(get_args(allowed))}")

    def wrong_answers_needed(self, *, replicas: int) -> int:
        """How many different wrong answers an output must be able to hold."""
        return replicas if self.answers == "distinct" else 1


def check_room(dial: Dial, form: Form, outputs: Outputs, *, replicas: int) -> None:
    """Refuse, before a run, a dial that needs more wrong answers than these outputs of a trial run can hold.

    Raises:
        DialError: they cannot.
    """
    held, needed = wrong_answers_max(outputs, form), dial.wrong_answers_needed(replicas=replicas)
    if held >= needed:
        return
    where = "the outputs hold" if form.output is None else f'output "{form.output}" holds'
    why = "no finite floating-point number to change" if held == 0 else f"at most {held} different wrong answers"
    raise DialError(
        f"the dial needs {needed} wrong answers ({replicas} replicas, {dial.answers} answers) in the form {form.name}, "
        f"and {where} {why}"
    )


class Marks:
    """Which replicas answer wrongly on which request: the dial, drawn.

    Args:
        dial: the settings.
        streams: all random numbers of the run.
        replicas: how many there are.

    Example:
        >>> marks = Marks(Dial(rate=1.0), Streams(42), replicas=4)
        >>> [marks.wrong_answer_index(request_id=0, replica=i, attempt=0) for i in range(4)]
        [0, 1, 2, 3]
    """

    def __init__(self, dial: Dial, streams: Streams, *, replicas: int) -> None:
        self._per_prompt = dial.scope == "prompt"
        self._shared = dial.answers == "shared"
        self._transient = dial.duration == "transient"
        self._replicas = replicas
        self._marks = _Flips(streams, f"dial.{dial.scope}", probability=dial.rate, kept_max=CHUNKS_KEPT * replicas)
        self._coins = _Flips(streams, "dial.coin", probability=0.5, kept_max=CHUNKS_KEPT * replicas)

    def wrong_answer_index(self, request_id: int, replica: int, attempt: int) -> int | None:
        """The number of the wrong answer that this replica gives to this request, or None where it tells the truth."""
        assert 0 <= replica < self._replicas, f"replica {replica} of {self._replicas}"
        drawn = attempt if self._transient else 0
        chunk, place = request_id // CHUNK_REQUESTS, request_id % CHUNK_REQUESTS
        if not self._marks[0 if self._per_prompt else replica, drawn, chunk][place]:
            return None
        if not self._shared:
            return replica
        if self._per_prompt and not self._coins[replica, drawn, chunk][place]:
            return None
        return 0


class _Flips(dict[tuple[int, int, int], bytes]):
    """Flips of a coin that need not be fair, by replica, attempt and chunk of requests: a byte each, 1 where it fell.

    A chunk is drawn when first asked for. Few are kept, since any can be drawn again the same.
    """

    def __init__(self, streams: Streams, name: str, *, probability: float, kept_max: int) -> None:
        super().__init__()
        self._streams = streams
        self._name = name
        self._probability = probability
        self._kept_max = kept_max

    def __missing__(self, address: tuple[int, int, int]) -> bytes:
        if len(self) >= self._kept_max:
            del self[next(iter(self))]  # the one drawn first
        draws = self._streams.generator(self._name, *address).random(CHUNK_REQUESTS)
        flips = self[address] = (draws < self._probability).tobytes()
        return flips
