"""What was not measured, and why: a failure, or what this machine cannot measure."""

from typing import Any


class NotAvailableError(RuntimeError):
    """A precision that the GPU does not have, or a framework that is not installed."""


def row_of(error: Exception) -> dict[str, Any]:
    """{"failed": the reason, "left_out": whether it is no failure of what is measured}.

    Left out is also what the time limit left no time for (TimeoutError).
    """
    return {
        "failed": f"{type(error).__name__}: {error}",
        "left_out": isinstance(error, (NotAvailableError, TimeoutError)),
    }


def is_failure(row: dict[str, Any]) -> bool:
    return "failed" in row and not row.get("left_out")
