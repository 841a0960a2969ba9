"""Where two profiles part: every tensor of a run, watched without changing it, and the first node that differs."""

from replicas.divergence.answers import WatchedAnswer, first_divergence_of_answers, watch_answer
from replicas.divergence.origins import Divergence, Unsaid, first_divergence
from replicas.divergence.places import NodeName, Step, TensorKey
from replicas.divergence.watch import Watch, Watched, watch

__all__ = [
    "Divergence",
    "NodeName",
    "Step",
    "TensorKey",
    "Unsaid",
    "Watch",
    "Watched",
    "WatchedAnswer",
    "first_divergence",
    "first_divergence_of_answers",
    "watch",
    "watch_answer",
]
