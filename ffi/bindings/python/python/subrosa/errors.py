"""The exceptions of this package."""

from __future__ import annotations

import uuid


class SubrosaError(Exception):
    """What the library refused, or could not do.

    `code` is a number of `Status`, or one that only a newer library knows; `name` is its name, such as `WRONG_KEY`.
    `number` depends on the code: the place in bad JSON, the relay's code, a key provider's own code.
    `retryable` says that the same call may succeed later without other action. `path` is the place in a record that
    this package refused; it names fields, which are content, and so is no part of the text. `record` is the record that a
    reading of many was ended by.
    """

    code: int
    name: str
    message: str
    number: int
    retryable: bool
    causes: tuple[str, ...]
    path: str | None
    record: uuid.UUID | None = None

    def __init__(
        self,
        code: int,
        name: str,
        message: str,
        *,
        retryable: bool = False,
        number: int = 0,
        causes: tuple[str, ...] = (),
        path: str | None = None,
    ) -> None:
        super().__init__(code, name, message)
        self.code = int(code)
        self.name = name
        self.message = message
        self.retryable = retryable
        self.number = number
        self.causes = causes
        self.path = path

    def __str__(self) -> str:
        return f"{self.name}: {self.message}" if self.message else self.name


class NotStorable(TypeError):
    """A Python value that a record cannot hold. `path` says where it is, and names fields, which are content."""

    path: str

    def __init__(self, message: str, path: str) -> None:
        super().__init__(message)
        self.path = path

    def __reduce__(self) -> tuple[type[NotStorable], tuple[str, str]]:
        return type(self), (str(self), self.path)
