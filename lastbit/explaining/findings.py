"""What an explanation says: plain data, and its JSON."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import msgspec

from lastbit.auditing.findings import Origin
from lastbit.result import Answer

FORMAT = "lastbit.explanation/1"

Outcome: TypeAlias = Literal["same", "split", "not-repeated"]
CauseKind: TypeAlias = Literal["injected", "setting", "together", "order", "unknown"]


class SettingChange(msgspec.Struct, frozen=True, kw_only=True):
    """A setting in which two replicas differ: its name, and the value of each."""

    name: str
    one: str
    other: str

    def __str__(self) -> str:
        return f"{self.name} {self.one} -> {self.other}"


class Cause(msgspec.Struct, frozen=True, kw_only=True):
    """Which setting makes the difference.

    Attributes:
        kind: "injected": the dial put a wrong answer there. "setting": each of `settings` alone, put in the place of
            the own one, turns one replica's answer into the other's bits. "together": none alone does, all of
            `settings` do. "order": the order of summation, with which profiles have nothing to do. "unknown": none.
        said: a sentence.
        settings: from the replica that was changed to the one whose bits it then gives.
        refused: settings that could not be tried, and why.
    """

    kind: CauseKind
    said: str
    settings: tuple[SettingChange, ...] = ()
    refused: tuple[str, ...] = ()


class PairExplained(msgspec.Struct, frozen=True, kw_only=True):
    """Two answers of a ballot, and one honest replica behind each.

    Attributes:
        replicas: the two.
        digests: what each voted for.
        request: the first of the block that they answered differently.
        output: the first that differs; where labels are voted on, the values are those labels.
        element: its first element that differs, in row-major order.
        values: of both, exactly.
        steps: representable floats between them; None where they are no finite floats.
        cause: which setting makes the difference.
        origin: the first node at which they part; None where the difference was injected.
    """

    replicas: tuple[int, int]
    digests: tuple[str, str]
    request: int
    output: str
    element: int
    values: tuple[str, ...]
    steps: int | None
    cause: Cause
    origin: Origin | None = None


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """Why an attempt at a height found one answer or several.

    Attributes:
        format: name and version of this object's shape.
        scenario, seed, model, form: what was run.
        height: from 1.
        attempt: the view or round, from 0.
        attempts: all that were executed at this height.
        requests: of the block.
        quorum, weight: the weight that decides, and all weight.
        ballot: the answers, by falling weight.
        states: where state carries over what the votes name, which those answers led to; empty where it does not.
        outcome: "same": all replicas gave the same answer. "split": they did not. "not-repeated": they did not, and
            here the model gives other answers than the trace records, so that nothing is explained.
        said: a sentence.
        pairs: every two of the heaviest answers that honest replicas computed.
        drifted: replicas that answered like others, and whose states had differed before.
        answers_lighter: answers that are in no pair, since four are heavier.
        answers_not_computed: answers that are in no pair, since only faulty replicas voted for them.
        environment: where nothing was repeated, how versions and processor differ from those of the trace.
    """

    format: str = FORMAT
    scenario: str
    seed: int
    model: str
    form: str
    height: int
    attempt: int
    attempts: tuple[int, ...]
    requests: tuple[int, ...]
    quorum: int
    weight: int
    ballot: tuple[Answer, ...]
    outcome: Outcome
    said: str
    pairs: tuple[PairExplained, ...] = ()
    states: tuple[Answer, ...] = ()
    drifted: tuple[int, ...] = ()
    answers_lighter: int = 0
    answers_not_computed: int = 0
    environment: tuple[str, ...] = ()

    def to_json(self) -> str:
        """One JSON object; `format` says which kind and version."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2).decode()


def json_schema() -> dict[str, Any]:
    """The JSON schema of the object that `to_json` writes."""
    return msgspec.json.schema(Explanation)
