"""The Internet Computer's consensus: `Icp` is one replica, `IcpConfig` what all share, `n_minus_f` its quorum."""

from consensus.icp.config import IcpConfig, n_minus_f
from consensus.icp.replica import Icp

__all__ = ["Icp", "IcpConfig", "n_minus_f"]
