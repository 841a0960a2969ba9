"""Why replicas gave different answers at one height of a run: where their bits part, and which setting does it."""

from lastbit.explaining.ballots import NothingToExplain
from lastbit.explaining.explaining import explain
from lastbit.explaining.findings import Cause, Explanation, PairExplained, SettingChange

__all__ = ["Cause", "Explanation", "NothingToExplain", "PairExplained", "SettingChange", "explain"]
