"""What operators do with the elements of an input: use them as indices, know some of them, or hand them on unchanged.

After the operator specifications of ONNX (opset 24, ai.onnx.ml 5) and ONNX Runtime's com.microsoft domain.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class IndexUse:
    """An operator's input that picks rows of a table.

    Args:
        table: position of the table among the node's inputs; None where the node is told a depth as its input 1.
        axis: of the table: a number, the name of the attribute that holds it, or the leading axes of GatherND.
        default: of that attribute.
        beyond: how many values past the last row are allowed: lengths count to the size itself.
    """

    table: int | None
    axis: int | str = 0
    default: int = 0
    beyond: int = 0


INDEX_USES: Mapping[tuple[str, str, int], IndexUse] = {
    ("", "Gather", 1): IndexUse(0, "axis"),
    ("", "GatherElements", 1): IndexUse(0, "axis"),
    ("", "GatherND", 1): IndexUse(0, "last of indices"),
    ("", "Scatter", 1): IndexUse(0, "axis"),
    ("", "ScatterElements", 1): IndexUse(0, "axis"),
    ("", "ScatterND", 1): IndexUse(0, "last of indices"),
    ("", "OneHot", 0): IndexUse(None),
    ("", "NegativeLogLikelihoodLoss", 1): IndexUse(0, 1),
    ("", "SoftmaxCrossEntropyLoss", 1): IndexUse(0, 1),
    ("", "TopK", 1): IndexUse(0, "axis", default=-1, beyond=1),
    ("", "LSTM", 4): IndexUse(0, beyond=1),
    ("", "GRU", 4): IndexUse(0, beyond=1),
    ("", "RNN", 4): IndexUse(0, beyond=1),
    ("ai.onnx.ml", "ArrayFeatureExtractor", 1): IndexUse(0, -1),
    ("com.microsoft", "EmbedLayerNormalization", 0): IndexUse(2),
    ("com.microsoft", "EmbedLayerNormalization", 1): IndexUse(4),
    ("com.microsoft", "EmbedLayerNormalization", 8): IndexUse(3),
    ("com.microsoft", "GatherBlockQuantized", 1): IndexUse(0, "gather_axis"),
}

# Positions of the inputs whose elements appear in every output, unchanged but for place and, under Cast, dtype.
MOVES: Mapping[str, tuple[int, ...] | Literal["all"]] = {
    "Identity": (0,),
    "Cast": (0,),
    "CastLike": (0,),
    "Reshape": (0,),
    "Flatten": (0,),
    "Squeeze": (0,),
    "Unsqueeze": (0,),
    "Transpose": (0,),
    "Slice": (0,),
    "Split": (0,),
    "Expand": (0,),
    "Tile": (0,),
    "Gather": (0,),
    "GatherElements": (0,),
    "GatherND": (0,),
    "ReduceMax": (0,),
    "ReduceMin": (0,),
    "Concat": "all",
    "Where": (1, 2),
    "FeatureVectorizer": "all",
}


# Attributes that list the values which an operator's first input is known by.
CATEGORY_ATTRIBUTES: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("ai.onnx.ml", "OneHotEncoder"): ("cats_int64s", "cats_strings"),
    ("ai.onnx.ml", "LabelEncoder"): ("keys_int64s", "keys_strings"),
    ("ai.onnx.ml", "CategoryMapper"): ("cats_strings",),
}
