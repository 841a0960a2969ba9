"""Watch a run: every tensor that a session makes, without changing what it makes.

Tensors that are added as outputs keep the runtime from fusing the nodes around them, so adding them to the model would
watch another computation. They are added to the graph that the session really runs, as the runtime saves it, and that
one runs with optimisation off and all other settings as they are. Whether the watching changed anything is not
believed but compared: the outputs must be those of the unwatched run, bit for bit, or nothing is reported.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, MutableSequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import sha256
from typing import Any

import numpy.typing as npt
import onnx
import onnxruntime
from onnx import inliner, numpy_helper

from replicas.differences import first_difference
from replicas.divergence.channels import channels_by_name
from replicas.divergence.handed_out import PREFIX
from replicas.divergence.logical_names import ModelNodes
from replicas.divergence.opened import FETCHABLE, INSIDE_REPEATED, REPEATED, OpenedGraph, closed_nodes, open_graph
from replicas.divergence.places import TensorKey
from replicas.divergence.unrolled import ExecutedNode, Execution
from replicas.engine import ORDER_INPUT, EngineError, OnnxRuntimeEngine
from replicas.graph_names import names_in
from replicas.graph_walk import nodes_at_any_depth, weights_at_any_depth
from replicas.model import Model
from replicas.outputs import Outputs, Value, outputs_digest
from replicas.prepare import prepare
from replicas.profile import AsBuilt, NumericProfile, ProfileError

__all__ = ["Watch", "Watched", "watch"]

Array = npt.NDArray[Any]

# Tried in this order: a Loop in a Loop and, up to operator set 12, any other cannot be opened if a shape changes in it.
_OPENINGS = (
    frozenset({"If", "Loop", "Scan", INSIDE_REPEATED}),
    frozenset({"If", "Loop", "Scan"}),
    frozenset({"If"}),
    frozenset[str](),
)


@dataclass(frozen=True, slots=True)
class Stage:
    """One form of a graph on its way from the model to the session.

    Args:
        digest: of its content; graphs that are equal up to a stage mean the same by all names of that stage.
        names: of the tensors at this stage and before.
    """

    digest: str
    names: frozenset[str]


@dataclass(frozen=True, kw_only=True, eq=False)
class Watched:
    """One run and its inner tensors.

    Attributes:
        subject: model and profile, for people.
        watch: what it was made with.
        inputs: what the run was given.
        order: of summation; None where it is as built.
        outputs: those of the unwatched run.
        nodes: all that were executed, in order. Empty where the watching was not faithful.
        values: the tensors by key, in the order in which they were made. Empty where the watching was not faithful.
        left_out: nodes whose inner graphs were not looked into; each counts as one node.
        unfaithful: why nothing is reported; None where the watched run gave the bits of the unwatched one.
    """

    subject: str
    watch: Watch = field(repr=False)
    inputs: Mapping[str, Array] = field(repr=False)
    order: Array | None = field(repr=False)
    outputs: Outputs = field(repr=False)
    nodes: tuple[ExecutedNode, ...] = field(default=(), repr=False)
    values: Mapping[TensorKey, Value] = field(default_factory=dict, repr=False)
    left_out: tuple[str, ...] = ()
    unfaithful: str | None = None

    @property
    def is_faithful(self) -> bool:
        """Whether the watched run gave the outputs of the unwatched one, bit for bit."""
        return self.unfaithful is None


def watch(model: Model, profile: NumericProfile, inputs: Mapping[str, Array], order: Array | None = None) -> Watched:
    """Watch one run; for many of one model and profile, make a `Watch`.

    Raises:
        EngineError: the runtime refuses model, inputs or order, watched or not.
        ProfileError: the profile asks for what this model cannot do.

    Example:
        >>> import numpy as np
        >>> from onnx.parser import parse_model
        >>> text = '<ir_version: 9, opset_import: ["" : 17]> g (float[2] x) => (float[2] y) { t = Neg(x) y = Exp(t) }'
        >>> model = Model.from_bytes(parse_model(text).SerializeToString(), name="exp")
        >>> watched = watch(model, NumericProfile(), {"x": np.float32([0, 1])})
        >>> watched.is_faithful, watched.values[TensorKey("t")].tolist()
        (True, [-0.0, -1.0])
    """
    return Watch(model, profile).run(inputs, order)


class Watch:
    """The sessions that watch a model under a profile, made once and used for many inputs.

    Args:
        model: what to watch.
        profile: under which settings.
        engine: of that model and profile, where the caller has one already.

    Raises:
        EngineError: the runtime makes no session of it.
        ProfileError: the profile asks for what this model cannot do.
    """

    def __init__(self, model: Model, profile: NumericProfile, *, engine: OnnxRuntimeEngine | None = None) -> None:
        self._model = model
        self._profile = profile
        self._engine = OnnxRuntimeEngine(model, profile) if engine is None else engine
        self._optimised = self._engine.optimised_graph()
        _leave_only(self._optimised.graph.input, {*(spec.name for spec in model.inputs), ORDER_INPUT})
        held = {located.node.op_type for located in nodes_at_any_depth(self._optimised)}
        if held & REPEATED:
            held.add(INSIDE_REPEATED)
        self._openings = list(dict.fromkeys(each & held for each in _OPENINGS))
        self._session: _OpenedSession | None = None

    @property
    def order_shape(self) -> tuple[int, int] | None:
        """What `run` needs as an order of summation; None where it is as built."""
        return self._engine.order_shape

    def run(self, inputs: Mapping[str, Array], order: Array | None = None) -> Watched:
        """Run once unwatched and once watched.

        Args:
            inputs: a tensor for each input of the model, by name.
            order: of summation, where the profile asks for one.

        Raises:
            EngineError: inputs or order do not fit.
        """
        outputs = self._engine.run(inputs, order)
        fed = dict(inputs) if order is None else {**inputs, ORDER_INPUT: order}
        unwatched = Watched(subject=str(self._engine), watch=self, inputs=dict(inputs), order=order, outputs=outputs)
        faults: list[str] = []
        while True:
            try:
                return self._run_opened(unwatched, fed)
            except _WatchError as error:
                faults.append(str(error))
            if len(self._openings) == 1:
                return replace(unwatched, unfaithful="; ".join(dict.fromkeys(faults)))
            del self._openings[0]  # open less of the graph, from now on
            self._session = None

    def _run_opened(self, unwatched: Watched, fed: Mapping[str, Array]) -> Watched:
        outputs = unwatched.outputs
        try:
            if self._session is None:
                self._session = self._open(self._openings[0])
            fetched = self._session.run(fed)
        except (EngineError, ProfileError) as error:
            raise _WatchError(f"no session could be watched: {error}") from error
        seen = Outputs(outputs.names, tuple(fetched[name] for name in outputs.names))
        if outputs_digest(seen) != outputs_digest(outputs):
            raise _WatchError(_how_they_differ(outputs, seen))
        execution = Execution(self._session.graph, {**self._constants, **fed}, fetched)
        return replace(
            unwatched,
            nodes=tuple(execution.nodes),
            values=execution.values,
            left_out=tuple(map(str, closed_nodes(self._session.graph))),
        )

    def _open(self, operators: frozenset[str]) -> _OpenedSession:
        opened = open_graph(self._optimised, self.model_nodes, channels_by_name(self.source), operators)
        return _OpenedSession(self._engine.session_as_it_stands(opened.content), opened.graph)

    @cached_property
    def source(self) -> onnx.ModelProto:
        """The model as built, its functions put in place."""
        proto = self._model.proto()
        return inliner.inline_local_functions(proto) if proto.functions else proto

    @cached_property
    def stages(self) -> tuple[Stage, ...]:
        """The graph as the session runs it, as it was prepared, and as the model has it: from the last to the first."""
        prepared = self._engine.prepared.content
        names = frozenset(names_in(self.source.graph))
        stages = [Stage(self._model.sha256, names)]
        if prepared != self._model.content:
            names |= names_in(onnx.load_from_string(prepared).graph)
            stages.insert(0, Stage(sha256(prepared).hexdigest(), names))
        optimised = self._optimised.SerializeToString(deterministic=True)
        return (Stage(sha256(optimised).hexdigest(), names | names_in(self._optimised.graph)), *stages)

    @property
    def weights_source(self) -> tuple[str, str]:
        """Equal for watches whose weights are the same; model and precision decide it."""
        return self._model.sha256, self._profile.precision

    @cached_property
    def weights(self) -> Mapping[str, onnx.TensorProto]:
        """The weights that the profile computes with, by name, before products are split or anything is fused."""
        prepared = prepare(self._model, replace(self._profile, summation=AsBuilt()))
        return dict(weights_at_any_depth(onnx.load_from_string(prepared.content)))

    @cached_property
    def model_nodes(self) -> ModelNodes:
        """The nodes of the model as built."""
        return ModelNodes(self.source)

    @cached_property
    def _constants(self) -> dict[str, Value]:
        """Initialisers that another profile may compute, since a node of the model makes them, and conditions."""
        return {
            tensor.name: numpy_helper.to_array(tensor)
            for tensor in self._optimised.graph.initializer
            if self.model_nodes.makes(tensor.name) or tensor.data_type == onnx.TensorProto.BOOL
        }


class _WatchError(Exception):
    """A graph opened this far cannot be watched, or not faithfully; it becomes the reason why nothing is reported."""


@dataclass(frozen=True, slots=True)
class _OpenedSession:
    """A session whose outputs are all tensors of a graph."""

    session: onnxruntime.InferenceSession
    graph: OpenedGraph

    def run(self, fed: Mapping[str, Array]) -> dict[str, Value]:
        stated = set(self.graph.outputs)
        names = [
            each.name
            for each in self.session.get_outputs()
            if each.name in stated or each.name.startswith(PREFIX) or each.type in FETCHABLE
        ]
        try:
            values = self.session.run(names, dict(fed))
        except Exception as error:  # the runtime's exceptions have no base class of their own
            raise EngineError(" ".join(str(error).split())) from error
        return dict(zip(names, values, strict=True))


def _leave_only(inputs: MutableSequence[onnx.ValueInfoProto], needed: Collection[str]) -> None:
    """Old files list initializers as inputs; where the optimiser folded one away, a run would have to supply it."""
    kept = [each for each in inputs if each.name in needed]
    del inputs[:]
    inputs.extend(kept)


def _how_they_differ(outputs: Outputs, seen: Outputs) -> str:
    found = first_difference([outputs, seen])
    assert found is not None, "the digests differ"
    return (
        f'watching changes what is watched: output "{found.output}", element {found.element}, '
        f"is {found.values[0]} unwatched and {found.values[1]} watched"
    )
