"""Two models that are compared on the same inputs: what tells them apart for people, and whether they fit together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from replicas.model import Model, TensorSpec
from replicas.renamed_outputs import with_outputs_named


class ModelPairError(ValueError):
    """Two models that cannot be compared; the message says in what they differ."""


def labels_of(one: str | Path, other: str | Path) -> tuple[str, str]:
    """What two models are called: their names, with as many folders as tell them apart.

    Raises:
        ModelPairError: they are one file.

    Example:
        >>> labels_of("old/classifier.onnx", "new/classifier.onnx")
        ('old/classifier.onnx', 'new/classifier.onnx')
        >>> labels_of("exports/one.onnx", "exports/two.onnx")
        ('one.onnx', 'two.onnx')
    """
    paths = Path(one), Path(other)
    if str(one) == str(other) or (all(path.exists() for path in paths) and paths[0].samefile(paths[1])):
        raise ModelPairError(f'"{one}" and "{other}" are one model; name two')
    parts = [path.parts for path in (paths if paths[0] != paths[1] else [path.absolute() for path in paths])]
    kept = next(count for count in range(1, 1 + max(map(len, parts))) if parts[0][-count:] != parts[1][-count:])
    first, second = (str(Path(*each[-kept:])) for each in parts)
    return first, second


def sizes_from(other: Model, one: Model) -> dict[str, int]:
    """Sizes for those axes of the first model's inputs that it leaves open and the second does not."""
    theirs = {spec.name: spec for spec in other.inputs}
    return {
        f"{spec.name}.{axis}": size
        for spec in one.inputs
        if spec.name in theirs and len(spec.shape) == len(theirs[spec.name].shape)
        for axis, (mine, size) in enumerate(zip(spec.shape, theirs[spec.name].shape, strict=True))
        if isinstance(size, int) and not isinstance(mine, int)
    }


def matched(one: Model, other: Model, labels: Sequence[str]) -> tuple[Model, tuple[str, ...]]:
    """The second model with its outputs called as those of the first, and what a reader of the comparison must know.

    Outputs are matched by name, or by position where the names are not the same.

    Raises:
        ModelPairError: inputs or outputs do not fit together; all that differs, one line each.
    """
    inputs = {spec.name: spec.name for spec in other.inputs}
    outputs = _matched_names(one.outputs, other.outputs)
    faults = [
        *_faults("input", one.inputs, other.inputs, inputs, labels),
        *_faults("output", one.outputs, other.outputs, outputs, labels),
    ]
    if faults:
        raise ModelPairError(f"{labels[0]} and {labels[1]} cannot be compared: {'; '.join(faults)}")
    return with_outputs_named(other, outputs), tuple(_remarks(one, other, outputs, labels))


def _matched_names(ours: Sequence[TensorSpec], theirs: Sequence[TensorSpec]) -> dict[str, str]:
    """The first model's name of each output, by the second's, in the first's order."""
    if {spec.name for spec in ours} == {spec.name for spec in theirs}:
        return {spec.name: spec.name for spec in ours}
    return {their.name: our.name for our, their in zip(ours, theirs, strict=False)}


def _faults(
    kind: str,
    ours: Sequence[TensorSpec],
    theirs: Sequence[TensorSpec],
    names: Mapping[str, str],
    labels: Sequence[str],
) -> Iterator[str]:
    """Names or a count that differ; else each type and each fixed size that does."""
    mine = {spec.name: spec for spec in ours}
    if len(ours) != len(theirs) or mine.keys() != set(names.values()):
        yield f"{labels[0]} has the {kind}s {_listed(ours)}, {labels[1]} {_listed(theirs)}"
        return
    for their in theirs:
        our = mine[names[their.name]]
        # Outputs of two types have a distance; no input is of two types.
        are_unlike = our.dtype != their.dtype if kind == "input" else _is_tensor(our) != _is_tensor(their)
        if are_unlike or _unlike_shapes(our, their):
            yield f'{kind} "{our.name}" is {_described(our)} in {labels[0]} and {_described(their)} in {labels[1]}'


def _unlike_shapes(our: TensorSpec, their: TensorSpec) -> bool:
    if not (our.rank_known and their.rank_known):
        return False
    if len(our.shape) != len(their.shape):
        return True
    sizes = zip(our.shape, their.shape, strict=True)
    return any(isinstance(mine, int) and isinstance(other, int) and mine != other for mine, other in sizes)


def _is_tensor(spec: TensorSpec) -> bool:
    return "(" not in spec.dtype


def _remarks(one: Model, other: Model, names: Mapping[str, str], labels: Sequence[str]) -> Iterator[str]:
    ours, theirs = ({spec.name: spec for spec in model.outputs} for model in (one, other))
    for their, our in names.items():
        if their != our:
            yield f'output "{our}" of {labels[0]} is compared with "{their}" of {labels[1]}, by its position'
        if ours[our].dtype != theirs[their].dtype:
            yield (
                f'output "{our}" is {ours[our].dtype} in {labels[0]} and {theirs[their].dtype} in {labels[1]}: bytes '
                "differ always; distances are told after an exact widening"
            )


def _described(spec: TensorSpec) -> str:
    return f"{spec.dtype} [{', '.join('?' if each is None else str(each) for each in spec.shape)}]"


def _listed(specs: Sequence[TensorSpec]) -> str:
    return ", ".join(f'"{spec.name}"' for spec in specs) or "none"
