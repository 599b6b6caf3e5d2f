"""What can be wrong with an expression, for people.

Must never carry anything but text: these errors cross threads and are shown as they are.
"""

from __future__ import annotations

from opsctl.errors import UsageError


class PromqlError(UsageError):
    """An expression cannot be parsed or evaluated; `column` is 1-based, None where no single place is to blame."""

    def __init__(self, message: str, *, column: int | None = None, hint: str | None = None) -> None:
        self.column = column
        self.what = message  # without the place
        super().__init__(message if column is None else f"column {column}: {message}", hint=hint)


class UnsupportedError(PromqlError):
    """Valid PromQL that this engine refuses by name; `feature` is what to look for on a server."""

    def __init__(self, feature: str, *, column: int | None = None, hint: str | None = None) -> None:
        self.feature = feature
        super().__init__(f"{feature} not supported", column=column, hint=hint)
