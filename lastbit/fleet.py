"""From a scenario to its replicas: the model and inputs that it names, and an engine for every numeric profile."""

from __future__ import annotations

from dataclasses import dataclass

from lastbit import resources
from lastbit.cards import ModelCard, bundled_card, find_card_by_sha256, verify_model
from lastbit.inputs import CardImages, GeneratedInputs, InputsError, InputSet, NpzInputs, Overrides
from lastbit.scenario import Scenario
from lastbit.scenario.tables import CardInputs, FileInputs, State
from replicas.ahead import AHEAD_OPERATIONS_MIN, RunAhead
from replicas.cost import operations
from replicas.dial import Dial, Marks, check_room
from replicas.engine import Engine, EnginePool
from replicas.feedback import Feedback
from replicas.forms import Form, make_form
from replicas.model import Model
from replicas.profile import NumericProfile, ProfileError
from replicas.replica import AnswerStore, Replica
from replicas.workload import Workload, workload_of
from simcore.streams import Streams


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """What the replicas of a scenario run, loaded and checked.

    Attributes:
        model: the model.
        inputs: where requests come from.
        form: what of the output is voted on.
        operations: of one request.
        score_output: the output that a card names as the score; None without a card.
    """

    model: Model
    inputs: InputSet
    form: Form
    operations: int
    score_output: str | None = None


def load_material(scenario: Scenario, streams: Streams, *, may_draw: bool = False) -> Material:
    """Find and check the model and inputs of a scenario; `may_draw` lets the model draw random numbers.

    Raises:
        ModelError, CardError, ResourceError, InputsError, FormError: what is missing, damaged or does not fit.
    """
    model, card = load_model(scenario, may_draw=may_draw)
    inputs = _load_inputs(scenario, model, card, streams)
    output = scenario.model.output
    if output is None and card is not None and scenario.model.form == "top1":
        output = card.score_output
    shapes = {name: tensor.shape for name, tensor in inputs.tensors(0).tensors.items()}
    return Material(
        model=model,
        inputs=inputs,
        form=make_form(scenario.model.form, model, output),
        operations=operations(model, shapes),
        score_output=card.score_output if card is not None else None,
    )


def make_replicas(scenario: Scenario, material: Material, streams: Streams) -> tuple[Replica, ...]:
    """One replica for each of the scenario, each tried once on the first request.

    Raises:
        EngineError, ProfileError: a profile that this model or runtime cannot be run under, or a state that cannot be
            fed back.
        DialError: the outputs cannot hold as many wrong answers as the dial needs.
    """
    dial = _dial(scenario)
    count = scenario.chain.replicas
    marks = Marks(dial, streams, replicas=count) if dial is not None else None
    pool, store = EnginePool(), AnswerStore()
    feedback = feedback_of(scenario.state)
    pays = material.operations >= AHEAD_OPERATIONS_MIN and feedback is None  # what will be fed is not known ahead
    ahead = RunAhead(room=2 * count * scenario.chain.requests_per_block) if pays else None
    specs = scenario.replicas()
    able = {spec.profile: _able(spec.profile, material.model, pool, who=f"replica {spec.id}") for spec in specs}
    replicas = tuple(
        Replica(
            id=spec.id,
            profile=spec.profile,
            engine=able[spec.profile][0],
            workload=able[spec.profile][1],
            requests=material.inputs,
            form=material.form,
            store=store,
            ahead=ahead,
            streams=streams,
            marks=marks,
            operations=material.operations,
            operations_per_second=spec.operations_per_second,
        )
        for spec in specs
    )
    _try_each(replicas, dial, material.form, feedback)
    return replicas


def feedback_of(state: State | None) -> Feedback | None:
    """Which output a scenario feeds into which input; None: none."""
    if state is None or state.input is None or state.output is None:
        return None
    return Feedback(input=state.input, output=state.output)


def _able(profile: NumericProfile, model: Model, pool: EnginePool, *, who: str) -> tuple[Engine, Workload]:
    """What runs a model under a profile.

    Raises:
        EngineError: the runtime makes no session of it.
        ProfileError: the model cannot do what the profile asks; each fault with whose it is.
    """
    try:
        return pool.engine(model, profile), workload_of(profile, model)
    except ProfileError as error:
        raise ProfileError(f"{model.name}, {who}: profile.{fault}" for fault in error.faults) from None


def _try_each(replicas: tuple[Replica, ...], dial: Dial | None, form: Form, feedback: Feedback | None) -> None:
    """Run every engine once before the run, so that what does not fit is refused and not met half way."""
    tried: set[NumericProfile] = set()
    for replica in replicas:
        if replica.profile in tried:
            continue
        tried.add(replica.profile)
        outputs = replica.run_apart(0)
        form.digest(outputs)
        if feedback is not None:
            feedback.check(replica)
        _ = replica.engine.report  # made now: what a result says of engines must not fail after the run
        if dial is not None:
            check_room(dial, form, outputs, replicas=len(replicas))


def _dial(scenario: Scenario) -> Dial | None:
    table = scenario.divergence
    if table is None:
        return None
    return Dial(rate=table.rate, scope=table.scope, answers=table.answers, duration=table.duration)


def load_model(scenario: Scenario, *, may_draw: bool) -> tuple[Model, ModelCard | None]:
    """Find and check the model of a scenario, and its card if it is a bundled one.

    Raises:
        ModelError, CardError, ResourceError, InputsError: missing, damaged, or not fit for a run.
    """
    path = scenario.model_path
    if path is not None:
        model = Model.load(path, may_draw=may_draw)
        return model, find_card_by_sha256(model.sha256)
    name = scenario.model.name
    if name is None:
        raise InputsError(f'{scenario.name}: its model "{scenario.model.file}" is no bundled one; give it with --model')
    card = bundled_card(name)
    return Model.from_bytes(verify_model(card, resources.model_path(name)), name=name), card


def _load_inputs(scenario: Scenario, model: Model, card: ModelCard | None, streams: Streams) -> InputSet:
    choice = scenario.inputs
    if isinstance(choice, CardInputs):
        if card is None:
            raise InputsError(f"{model.name}: has no card with an input set; inputs of kind npz or generated")
        return CardImages(card, resources.models_folder(), streams, images=choice.images, noise=choice.noise)
    if isinstance(choice, FileInputs):
        path = scenario.inputs_path
        if path is None:
            raise InputsError(f'{scenario.name}: its inputs "{choice.file}" are not at hand; give them with --inputs')
        return NpzInputs(path, model)
    values = {name: str(value) for name, value in choice.values.items()}
    return GeneratedInputs(model, streams, Overrides(dims=choice.dims, ranges=choice.ranges, values=values))
