"""Checkers: what no honest replica may ever do, watched in every run from what replicas send, execute and decide."""

from __future__ import annotations

from lastbit.checking.checkers import Checkers
from lastbit.checking.violations import Violations, ViolationSeen

__all__ = ["Checkers", "ViolationSeen", "Violations"]
