"""What agreement costs: messages, message delays and computing of each protocol, measured beside the closed form."""

from __future__ import annotations

from lastbit.costing.figures import Costs, Figure
from lastbit.costing.measuring import measure

__all__ = ["Costs", "Figure", "measure"]
