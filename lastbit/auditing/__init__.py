"""Which settings give the same bits? Every numeric profile tried on a model, before any chain runs it."""

from lastbit.auditing.auditing import AuditError, audit, diff, diff_models
from lastbit.auditing.findings import Audit

__all__ = ["Audit", "AuditError", "audit", "diff", "diff_models"]
