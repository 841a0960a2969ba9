"""The scenario: one whole TOML file, validated, with every default filled in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import PrivateAttr, TypeAdapter, ValidationError, model_validator

from lastbit.scenario.across import faults_across
from lastbit.scenario.base import Table
from lastbit.scenario.faults import Fault, ScenarioError
from lastbit.scenario.fields import INT64_MAX, Text, Whole
from lastbit.scenario.network import KEYS_THAT_NEED_EACH_OTHER, Crash, Network
from lastbit.scenario.profile_table import profile_of
from lastbit.scenario.tables import (
    Behaviour,
    CardInputs,
    Chain,
    Divergence,
    Expect,
    Fleet,
    GeneratedInputs,
    Inputs,
    ModelChoice,
    ReplicaOverride,
    State,
)
from lastbit.scenario.translate import faults_from, without_unknown_keys

if TYPE_CHECKING:
    from consensus.quorum import QuorumSystem
    from replicas.profile import NumericProfile


# Every key has a default, and what is left when the faulty ones are taken out can be judged. Those of the second column
# are judged together, and go together.
_TABLES_OF_OPTIONAL_KEYS = {"network": KEYS_THAT_NEED_EACH_OTHER}


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaSpec:
    """One replica with fleet and override put together."""

    id: int
    weight: int
    profile: NumericProfile
    operations_per_second: int
    behaviour: Behaviour


class Scenario(Table):
    """What is to be run: the chain, its replicas, their model, and what goes wrong.

    Make one with `load_scenario` or `Scenario.from_mapping`, which tell all faults at once. Left out, `inputs` are
    those of the model's card, or generated ones where the model is a file of the user's own.

    Example:
        >>> scenario = Scenario.from_mapping({"chain": {"replicas": 4, "blocks": 10}, "model": {"name": "digits-mlp"}})
        >>> scenario.quorum_system().threshold, scenario.with_overrides(seed=7).seed
        (3, 7)
    """

    format: Literal["lastbit.scenario/1"] = "lastbit.scenario/1"
    name: Annotated[str, Text("the name of a scenario", 100)] = "unnamed"
    title: Annotated[str, Text("a title", 200)] = ""
    story: Annotated[str, Text("a story", 10_000, lines=True)] = ""
    seed: Annotated[int, Whole("a seed", high=INT64_MAX)] = 0
    expect: Expect | None = None
    chain: Chain
    model: ModelChoice
    inputs: Inputs = CardInputs()
    fleet: Fleet = Fleet()
    replica: tuple[ReplicaOverride, ...] = ()
    divergence: Divergence | None = None
    state: State | None = None
    network: Network = Network()
    crash: tuple[Crash, ...] = ()

    _source: str = PrivateAttr("scenario")
    _folder: Path | None = PrivateAttr(None)
    _model_path: Path | None = PrivateAttr(None)
    _inputs_path: Path | None = PrivateAttr(None)

    @model_validator(mode="before")
    @classmethod
    def _choose_inputs(cls, found: Any) -> Any:
        if not isinstance(found, Mapping) or found.get("inputs") is not None:
            return found
        model = found.get("model")
        own_file = isinstance(model, Mapping) and model.get("file") is not None
        return {**found, "inputs": {"kind": "generated" if own_file else "card"}}

    @model_validator(mode="after")
    def _judge_the_whole(self) -> Self:
        faults = list(faults_across({key: getattr(self, key) for key in type(self).model_fields}))
        if faults:
            raise ScenarioError(self.name, faults)
        return self

    @classmethod
    def from_mapping(cls, found: Mapping[str, Any], *, source: str = "scenario", folder: Path | None = None) -> Self:
        """Judge a mapping such as a TOML document.

        Args:
            found: the tables. Nothing of it is changed or kept.
            source: what faults are told to be in.
            folder: where files that the scenario names are looked for; None: nowhere.

        Raises:
            ScenarioError: all faults that were found.
        """
        try:
            scenario = cls.model_validate(found)
        except ValidationError as error:
            raise ScenarioError(source, _all_faults(error, found)) from None
        scenario._source = source
        scenario._folder = folder
        return scenario

    @classmethod
    def from_resolved(cls, found: Mapping[str, Any], *, source: str = "trace") -> Self:
        """The scenario that `resolved` wrote, judged as any other. It opens no file, whatever names it holds.

        Raises:
            ScenarioError: all faults that were found.
        """
        return cls.from_mapping(found, source=source)

    def resolved(self) -> dict[str, Any]:
        """The whole scenario as plain JSON values, every default filled in; `from_resolved` reads it back.

        What is derived from the model at hand (timeouts, when a stall is one) stays null where the file gave nothing.
        """
        plain: dict[str, Any] = self.model_dump(mode="json")
        plain["chain"] |= {
            "weights": list(self.chain.voting_weights),
            "faulty_max": self.chain.faulty_weight_max,
            "quorum": self.quorum_system().threshold,
        }
        if "watermark_window" in self.chain.kind.keys:
            plain["chain"]["watermark_window"] = self.chain.watermark_window_heights
        plain["fleet"]["profile"] = profile_of(self.fleet.profile).to_mapping()
        plain["replica"] = [
            {
                "id": spec.id,
                "profile": spec.profile.to_mapping(),
                "operations_per_second": spec.operations_per_second,
                "behaviour": spec.behaviour,
            }
            for spec in self.replicas()
        ]
        return plain

    def replicas(self) -> tuple[ReplicaSpec, ...]:
        """Every replica, by id."""
        overrides = {override.id: override for override in self.replica}
        specs = []
        for replica, weight in enumerate(self.chain.voting_weights):
            own = overrides.get(replica, ReplicaOverride(id=replica))
            specs.append(
                ReplicaSpec(
                    id=replica,
                    weight=weight,
                    profile=profile_of(self.fleet.profile, own.profile),
                    operations_per_second=own.operations_per_second or self.fleet.operations_per_second,
                    behaviour=own.behaviour or self.fleet.behaviour,
                )
            )
        return tuple(specs)

    def quorum_system(self) -> QuorumSystem:
        """Who weighs what, and the weight that decides."""
        return self.chain.quorum_system()

    @property
    def model_path(self) -> Path | None:
        """The model's file, where it is one of the user's own; None: a bundled model, or one known by sha256 alone."""
        return self._model_path or self._beside(self.model.file)

    @property
    def inputs_path(self) -> Path | None:
        """The file of inputs, where there is one."""
        return self._inputs_path or self._beside(getattr(self.inputs, "file", None))

    def _beside(self, name: str | None) -> Path | None:
        if name is None or self._folder is None:
            return None
        path = self._folder / name
        if not path.resolve().is_relative_to(self._folder.resolve()):
            message = f"{name} is a link that leads out of the scenario's folder; a file in it"
            raise ScenarioError(
                self._source, [Fault("model.file" if name.endswith(".onnx") else "inputs.file", message)]
            )
        return path

    def with_overrides(
        self,
        *,
        seed: int | None = None,
        blocks: int | None = None,
        model: str | Path | None = None,
        inputs: Path | None = None,
        dims: Mapping[str, int] | None = None,
        ranges: Mapping[str, tuple[float, float]] | None = None,
        values: Mapping[str, str] | None = None,
        output: str | None = None,
    ) -> Self:
        """The same scenario with some choices made anew, and judged anew.

        Args:
            seed: another seed.
            blocks: another number of heights to reach.
            model: a file that ends in `.onnx`, anywhere, or the name of a bundled model.
            inputs: a NumPy archive, anywhere.
            dims: sizes of free dimensions, for generated inputs.
            ranges: the least and greatest value of generated inputs, by name.
            values: the one value of an input, by name, as text: its dtype is known to the model.
            output: the output that is voted on.

        Raises:
            ScenarioError: all faults that were found.
        """
        plain: dict[str, Any] = self.model_dump(mode="json")
        model_path, inputs_path = self._model_path, self._inputs_path
        if seed is not None:
            plain["seed"] = seed
        if blocks is not None:
            plain["chain"]["blocks"] = blocks
        if output is not None:
            plain["model"]["output"] = output
        if model is not None:
            model_path = Path(model) if str(model).endswith(".onnx") else None
            plain["model"] |= (
                {"name": None, "file": model_path.name} if model_path else {"name": str(model), "file": None}
            )
            if output is None:
                plain["model"]["output"] = None
            if model_path and isinstance(self.inputs, CardInputs):
                plain["inputs"] = GeneratedInputs().model_dump(mode="json")
        if inputs is not None:
            inputs_path = Path(inputs)
            plain["inputs"] = {"kind": "npz", "file": inputs_path.name}
        made = {"dims": dims, "ranges": ranges, "values": values}
        if any(made.values()):
            if inputs is not None:
                message = f"come from {inputs.name}; sizes, ranges and values are for generated inputs"
                raise ScenarioError(self._source, [Fault("inputs", message)])
            if plain["inputs"]["kind"] != "generated":
                plain["inputs"] = GeneratedInputs().model_dump(mode="json")
            for key, entries in made.items():
                plain["inputs"][key] = {**plain["inputs"][key], **(entries or {})}
        try:
            scenario = self.from_mapping(plain, source=self._source, folder=self._folder)
        except ScenarioError as error:
            raise ScenarioError(f"{self._source}, changed as asked", error.faults) from None
        scenario._model_path = model_path
        scenario._inputs_path = inputs_path
        return scenario


def _all_faults(error: ValidationError, found: Mapping[str, Any]) -> list[Fault]:
    """The faults within tables and, among the tables without one, those between them."""
    errors = error.errors(include_url=False)
    for carried in (each.get("ctx", {}).get("error") for each in errors):
        if isinstance(carried, ScenarioError):
            return list(carried.faults)
    return [*faults_from(errors, Scenario, found), *faults_across(_valid_tables(error, found))]


def _valid_tables(error: ValidationError, found: Mapping[str, Any]) -> dict[str, Any]:
    """The tables that are valid by themselves once their unknown keys are taken out."""
    if not isinstance(found, Mapping):
        return {}
    known = without_unknown_keys(error.errors(include_url=False), found)
    tables = {}
    for key, field in Scenario.model_fields.items():
        if key not in known:
            continue
        adapter = TypeAdapter[Any](field.rebuild_annotation())
        try:
            tables[key] = adapter.validate_python(known[key])
        except ValidationError as fault:  # told already, as a fault within the table
            if key in _TABLES_OF_OPTIONAL_KEYS and isinstance(known[key], Mapping):
                faulty = {each["loc"][0] for each in fault.errors()}
                faulty = faulty.union(*(keys for keys in _TABLES_OF_OPTIONAL_KEYS[key] if not keys.isdisjoint(faulty)))
                tables[key] = adapter.validate_python({k: v for k, v in known[key].items() if k not in faulty})
    return tables
