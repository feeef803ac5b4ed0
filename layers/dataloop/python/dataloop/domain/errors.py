"""The tree of errors that callers can act on.

    DomainError
    ├── InvalidInput       a field has a wrong value           (field, reason)
    ├── LimitExceeded      too many, too big                   (what, limit, actual)
    ├── NotFound           no such entity for this tenant      (entity, id)
    ├── Conflict           the name is taken                   (entity, name)
    ├── IllegalTransition  the entity's state forbids it       (entity, id, current, wanted)
    ├── Unauthenticated    no key, unknown key, expired key
    ├── Forbidden          the key may not do this             (needed)
    ├── ResidencyViolation a region or security level forbids  (what, reason)
    ├── GateRefused        a quality gate said no              (reasons)
    └── Unavailable        try again later                     (retry_after_s)
        └── Throttled

Adapters render them by class and fields; nobody decides by the text of a message.
"""

from __future__ import annotations

from collections.abc import Sequence


class DomainError(Exception):
    """Base of every error a service raises on purpose."""

    def details(self) -> dict[str, object]:
        """The fields a client may act on, JSON-ready."""
        return {name: value for name, value in vars(self).items() if not name.startswith("_")}


class InvalidInput(DomainError):
    """A field has a value that cannot be accepted."""

    def __init__(self, field: str, reason: str, value: object = None) -> None:
        self.field = field
        self.reason = reason
        if value is not None:
            self.value = str(value)[:200]
        super().__init__(f"{field}: {reason}" + (f" (got {self.value!r})" if value is not None else ""))


class LimitExceeded(DomainError):
    """More than the stated limit."""

    def __init__(self, what: str, limit: int, actual: int | None = None) -> None:
        self.what = what
        self.limit = limit
        self.actual = actual
        got = f", got {actual}" if actual is not None else ""
        super().__init__(f"{what}: at most {limit}{got}")


class NotFound(DomainError):
    """No such entity for this tenant; another tenant's id looks exactly the same."""

    def __init__(self, entity: str, id: str) -> None:
        self.entity = entity
        self.id = str(id)[:200]
        super().__init__(f"{entity} {self.id!r} was not found")


class Conflict(DomainError):
    """A unique name is taken."""

    def __init__(self, entity: str, name: str) -> None:
        self.entity = entity
        self.name = name
        super().__init__(f"{entity} {name!r} exists already")


class IllegalTransition(DomainError):
    """The entity is in a state that forbids the request."""

    def __init__(self, entity: str, id: str, current: str, wanted: str) -> None:
        self.entity = entity
        self.id = id
        self.current = current
        self.wanted = wanted
        super().__init__(f"{entity} {id!r} is {current}: {wanted} is not possible")


class Unauthenticated(DomainError):
    """No key, an unknown key or an expired one."""

    def __init__(self, reason: str = "a valid API key is needed") -> None:
        self.reason = reason
        super().__init__(reason)


class Forbidden(DomainError):
    """The key is valid but may not do this."""

    def __init__(self, needed: str) -> None:
        self.needed = needed
        super().__init__(f"this key lacks the scope {needed!r}")


class ResidencyViolation(DomainError):
    """A restriction of region or security level does not let it pass."""

    def __init__(self, what: str, reason: str) -> None:
        self.what = what
        self.reason = reason
        super().__init__(f"{what} may not pass a restriction of residency: {reason}")


class GateRefused(DomainError):
    """A quality gate refused; the reasons say which numbers."""

    def __init__(self, reasons: Sequence[str]) -> None:
        self.reasons = list(reasons)
        super().__init__("; ".join(reasons))


class Unavailable(DomainError):
    """A dependency failed or is busy; the same request may succeed later."""

    def __init__(self, reason: str, retry_after_s: int = 1) -> None:
        self.reason = reason
        self.retry_after_s = retry_after_s
        super().__init__(reason)


class Throttled(Unavailable):
    """Too many requests at once."""
