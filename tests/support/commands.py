"""Typing a command in a test."""

from __future__ import annotations

from collections.abc import Callable

Typed = Callable[..., tuple[int, str, str]]
"""Types `lastbit` with some words; gives exit code, stdout and stderr."""
