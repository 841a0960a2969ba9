"""Engines: a graph run once, under one numeric profile.

An engine is what a workload calls. The one here is ONNX Runtime on the processor. It accepts misspelt settings in
silence, so an engine says of each setting how it was shown to have taken effect, or that it cannot be shown.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime

from replicas.model import Model
from replicas.outputs import Outputs
from replicas.prepare import PreparationReport, PreparedModel, prepare
from replicas.profile import AsBuilt, NumericProfile

__all__ = ["ORDER_INPUT", "Engine", "EngineError", "EnginePool", "EngineReport", "OnnxRuntimeEngine", "SettingShown"]

ORDER_INPUT = "lastbit.order"

_LEVELS = {
    "off": onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL,
    "basic": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    "extended": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    "all": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL,
}
_MODES = {
    "sequential": onnxruntime.ExecutionMode.ORT_SEQUENTIAL,
    "parallel": onnxruntime.ExecutionMode.ORT_PARALLEL,
}
_GELU_APPROXIMATED = ("com.microsoft", "FastGelu")
_LOG_FATAL_ONLY = 4
_REASON_CHARACTERS_MAX = 240

_Operators: TypeAlias = Counter[tuple[str, str]]


class EngineError(ValueError):
    """The runtime refuses a model under a profile, or inputs; one line that names them."""


class Engine(Protocol):
    """Runs one graph under one profile.

    Attributes:
        identity: equal for engines that give equal bits for equal inputs and order; a key for stored results.
        order_shape: (rows, columns) of the order that `run` needs, or None where summation is as built.
        report: what was done to the model, and which settings are known to have taken effect.
    """

    @property
    def identity(self) -> str: ...

    @property
    def order_shape(self) -> tuple[int, int] | None: ...

    @property
    def report(self) -> EngineReport: ...

    def run(self, inputs: Mapping[str, npt.NDArray[Any]], order: npt.NDArray[Any] | None = None) -> Outputs:
        """Run the graph once. A tensor that comes back is read-only, since many may hold it.

        Args:
            inputs: a tensor for each input of the model, by name.
            order: int64, of `order_shape`, each row a permutation of range(columns).

        Raises:
            EngineError: inputs or order do not fit.
        """


@dataclass(frozen=True, slots=True)
class SettingShown:
    """One setting of a session, and how it is known to have taken effect."""

    name: str
    value: str
    evidence: str


@dataclass(frozen=True, slots=True)
class EngineReport:
    """What was done to a model to run it under a profile.

    Args:
        preparation: how the graph was rewritten, and how much of its work that covers.
        settings: the session's, each with its evidence.
    """

    preparation: PreparationReport
    settings: tuple[SettingShown, ...]


class OnnxRuntimeEngine:
    """ONNX Runtime's processor provider. The same engine given the same inputs and order gives the same bits.

    Args:
        model: what to run.
        profile: under which settings.
        prepared: the model rewritten for that profile, where the caller has it already.
        outputs: what to fetch; the model's own outputs if left out.

    Raises:
        EngineError: the runtime makes no session of it.
    """

    def __init__(
        self,
        model: Model,
        profile: NumericProfile,
        *,
        prepared: PreparedModel | None = None,
        outputs: tuple[str, ...] | None = None,
    ) -> None:
        self._subject = f"{model.name} under {_describe(profile)}"
        self._profile = profile
        self._prepared = prepare(model, profile) if prepared is None else prepared
        self.identity = _identity(self._prepared, profile)
        rows = self._prepared.order_rows
        self.order_shape = (rows, self._prepared.order_columns) if rows else None
        self._session = self._make_session(_session_options(profile))
        self._names = tuple(spec.name for spec in model.outputs) if outputs is None else outputs
        self._wanted = list(self._names)

    def run(self, inputs: Mapping[str, npt.NDArray[Any]], order: npt.NDArray[Any] | None = None) -> Outputs:
        """See `Engine`."""
        if order is not None or self.order_shape is not None:
            inputs = {**inputs, ORDER_INPUT: self._checked_order(order)}
        elif type(inputs) is not dict:
            inputs = dict(inputs)  # older builds of the runtime take no other mapping
        try:
            values = self._session.run(self._wanted, inputs)
        except Exception as error:  # the runtime's exceptions have no base class of their own
            raise EngineError(f"{self._subject}: inputs refused: {_shorten(error)}") from error
        for value in values:
            if type(value) is np.ndarray:
                value.setflags(write=False)
        return Outputs(self._names, tuple(values))

    def __str__(self) -> str:
        return self._subject

    @property
    def prepared(self) -> PreparedModel:
        """The model rewritten for the profile, before the runtime optimises it."""
        return self._prepared

    @cached_property
    def report(self) -> EngineReport:
        """What was done to the model, and which settings took effect. Made when asked for: it takes another session."""
        return EngineReport(self._prepared.report, self._settings_shown())

    def _checked_order(self, order: npt.NDArray[Any] | None) -> npt.NDArray[Any]:
        found = "none" if order is None else f"{order.dtype} of shape {order.shape}"
        if self.order_shape is None:
            raise EngineError(f"{self._subject}: takes no order of summation, and was given {found}")
        if order is None or order.shape != self.order_shape or order.dtype != np.int64:
            raise EngineError(
                f"{self._subject}: needs an order of summation, int64 of shape {self.order_shape}; was given {found}"
            )
        return order

    def _make_session(
        self, options: onnxruntime.SessionOptions, content: bytes | None = None
    ) -> onnxruntime.InferenceSession:
        try:
            # Without enable_fallback=0 the runtime tries once more, and says so on stdout, where results go.
            return onnxruntime.InferenceSession(
                self._prepared.content if content is None else content,
                options,
                providers=["CPUExecutionProvider"],
                enable_fallback=0,
            )
        except Exception as error:  # as in run
            raise EngineError(f"{self._subject}: the runtime makes no session: {_shorten(error)}") from error

    def _settings_shown(self) -> tuple[SettingShown, ...]:
        found = self._session.get_session_options()
        read_back = "read back from the session"
        before = _operators(onnx.load_from_string(self._prepared.content))
        after = _operators(self.optimised_graph())
        remain, new = before & after, after - before
        rewritten = f"of {before.total()} nodes {remain.total()} remain, {new.total()} are new"
        return (
            SettingShown("intra_op_threads", str(found.intra_op_num_threads), read_back),
            SettingShown("inter_op_threads", str(found.inter_op_num_threads), read_back),
            SettingShown("execution_mode", _key_of(found.execution_mode, _MODES), read_back),
            SettingShown("optimization", _key_of(found.graph_optimization_level, _LEVELS), f"{read_back}; {rewritten}"),
            SettingShown(
                "prepacking",
                "true" if self._profile.prepacking else "false",
                "cannot be shown: the runtime keeps any option it is given and tells nobody whether it acted on it",
            ),
            SettingShown(
                "gelu_approximation",
                "true" if self._profile.gelu_approximation else "false",
                _gelu_evidence(self._profile.gelu_approximation, new[_GELU_APPROXIMATED]),
            ),
        )

    def optimised_graph(self) -> onnx.ModelProto:
        """The graph that the session really runs, as the runtime saves it after its optimisation. Takes a session."""
        with TemporaryDirectory(prefix="lastbit-") as folder:
            saved = Path(folder) / "optimised.onnx"
            options = _session_options(self._profile)
            options.optimized_model_filepath = str(saved)
            self._make_session(options)
            return onnx.load(saved)

    def session_as_it_stands(self, content: bytes) -> onnxruntime.InferenceSession:
        """A session on another graph, serialised, with this engine's settings, but nothing optimised.

        Raises:
            EngineError: the runtime makes no session of it.
        """
        return self._make_session(_session_options(replace(self._profile, optimization="off")), content)


class EnginePool:
    """Engines by model and profile. Those whose prepared graph and session settings are equal are one engine."""

    def __init__(self) -> None:
        self._by_profile: dict[tuple[str, NumericProfile], OnnxRuntimeEngine] = {}
        self._by_identity: dict[str, OnnxRuntimeEngine] = {}

    def engine(self, model: Model, profile: NumericProfile) -> OnnxRuntimeEngine:
        """The engine of that model and profile, made when first asked for.

        Raises:
            EngineError: the runtime makes no session of it.
        """
        engine = self._by_profile.get((model.sha256, profile))
        if engine is None:
            prepared = prepare(model, profile)
            identity = _identity(prepared, profile)
            engine = self._by_identity.get(identity) or OnnxRuntimeEngine(model, profile, prepared=prepared)
            self._by_profile[model.sha256, profile] = self._by_identity[identity] = engine
        return engine

    def __len__(self) -> int:
        """How many different engines there are."""
        return len(self._by_identity)


def _session_options(profile: NumericProfile) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = profile.intra_op_threads
    options.inter_op_num_threads = profile.inter_op_threads
    options.execution_mode = _MODES[profile.execution_mode]
    options.graph_optimization_level = _LEVELS[profile.optimization]
    options.log_severity_level = _LOG_FATAL_ONLY  # what matters comes as an exception, and is said once
    # Planning which tensors may share memory compares each with all that are free: on the thousands of nodes of a
    # reordered graph it takes minutes, and changes no bit.
    options.enable_mem_reuse = isinstance(profile.summation, AsBuilt)
    options.add_session_config_entry("session.disable_prepacking", "0" if profile.prepacking else "1")
    options.add_session_config_entry(
        "optimization.enable_gelu_approximation", "1" if profile.gelu_approximation else "0"
    )
    # Waiting threads sleep. Spinning changes no bit (0 of 1,000 for a forest under 2, 4 and 8 threads), and engines
    # that take turns would take each other's cores: four forests on two cores answer seven times as fast without.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    return options


def _identity(prepared: PreparedModel, profile: NumericProfile) -> str:
    # Precision and summation are in the prepared graph, the batch in the workload; the rest is the session's.
    settings = replace(
        profile, precision="fp32", summation=AsBuilt(), batch_size=1, batch_mates="requests", padding=0
    ).to_toml()
    return sha256(sha256(prepared.content).digest() + settings.encode()).hexdigest()


def _describe(profile: NumericProfile) -> str:
    plain = NumericProfile()
    changed = [
        f"{each.name}={getattr(profile, each.name)!r}"
        for each in fields(profile)
        if getattr(profile, each.name) != getattr(plain, each.name)
    ]
    return f"the profile {', '.join(changed)}" if changed else "the default profile"


def _shorten(error: Exception) -> str:
    words = re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", " ".join(str(error).split()))
    return words if len(words) <= _REASON_CHARACTERS_MAX else words[: _REASON_CHARACTERS_MAX - 3] + "..."


def _key_of(found: object, table: Mapping[str, object]) -> str:
    return next(key for key, value in table.items() if value == found)


def _gelu_evidence(asked: bool, replaced: int) -> str:
    if asked and not replaced:
        return "cannot be shown: the graph that the runtime saves has no new FastGelu, so that nothing was approximated"
    return f"seen in the graph that the runtime saves: {replaced} new FastGelu"


def _operators(model: onnx.ModelProto) -> _Operators:
    return Counter((node.domain, node.op_type) for node in model.graph.node)
