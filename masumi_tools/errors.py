"""Every error that masumi_tools raises, and what each says about the money.

    MasumiError
    ├── InputError            the caller's arguments are wrong; `field_errors` says which
    │   ├── AmountError       text or number that is not an amount of money
    │   └── SettingsError     a setting is missing or wrong
    ├── IdentifierError       a blockchain identifier that does not decode
    ├── WireError             an answer of a service, node or registry that cannot be read
    ├── AddressRefused        a service URL that leads to a place we do not connect to
    ├── JournalError          the journal cannot be read or written
    │   ├── JournalBusy       another process holds it, or saved the record first
    │   └── JournalVersionError   the file was written by another version
    ├── StateError            the step is not possible in the hire's present state
    │   └── UnknownHire       no such hire in this journal
    └── MissingExtra          an optional dependency is not installed

A hire itself does not raise: `Buyer.hire` returns a `Receipt` that says what happened. These errors
are for misuse in code and for a journal that cannot be written, and then nothing was sent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from masumi_tools.text import plain

Fault = Literal["caller", "service", "node", "registry", "network", "ours"]
Money = Literal["none", "maybe", "locked", "refunding", "refunded", "spent"]


class MasumiError(Exception):
    """What happened in one sentence, with the phase, whose fault it is and where the money is.

    `phase` names the step (such as "start_job"), `fault` who can mend it, `money` where the money
    is now ("none": nothing was paid; "maybe": ask the node), and `repeatable` whether the same call
    may be made again without the danger of paying twice.
    """

    fault: Fault = "ours"
    money: Money = "none"
    repeatable: bool = False

    def __init__(
        self,
        message: str,
        *,
        phase: str = "",
        fault: Fault | None = None,
        money: Money | None = None,
        repeatable: bool | None = None,
    ) -> None:
        super().__init__(plain(message))
        self.message = plain(message)
        self.words = message  # with its quotations marked, for whoever has to keep them apart
        self.phase = phase
        if fault is not None:
            self.fault = fault
        if money is not None:
            self.money = money
        if repeatable is not None:
            self.repeatable = repeatable


class InputError(MasumiError):
    """The caller's arguments are wrong; nothing was sent. `field_errors` maps a field id to sentences."""

    fault: Fault = "caller"
    repeatable = True

    def __init__(
        self, message: str, *, field_errors: Mapping[str, Sequence[str]] | None = None, phase: str = "input"
    ) -> None:
        super().__init__(message, phase=phase)
        self.field_errors: dict[str, list[str]] = {k: list(v) for k, v in (field_errors or {}).items()}


class AmountError(InputError):
    """Text or a number that is not an amount of money, or amounts of different units combined."""


class SettingsError(InputError):
    """A setting is missing or wrong; the text names it and the environment variable that sets it."""


class IdentifierError(MasumiError):
    """A blockchain identifier that does not decode or is not what the node would accept (protocol N11)."""

    fault: Fault = "service"


class WireError(MasumiError):
    """An answer that cannot be read; the text names the field and what was expected."""

    fault: Fault = "service"


class AddressRefused(MasumiError):
    """A service URL that is not https to a public address; nothing was connected."""

    fault: Fault = "service"


class JournalError(MasumiError):
    """The journal cannot be read or written. Raised before anything is sent."""

    repeatable = True


class JournalBusy(JournalError):
    """Another process holds the journal or saved this record first; the same call may be made again."""


class JournalVersionError(JournalError):
    """The journal was written by a newer version of masumi_tools; nothing in it was changed."""

    repeatable = False


class StateError(MasumiError):
    """The step is not possible in the hire's present state; nothing was changed or sent."""

    fault: Fault = "caller"


class UnknownHire(StateError):
    """No such hire in this journal; nothing was sent."""


class MissingExtra(MasumiError, ImportError):
    """An optional dependency is not installed; the text names the extra that brings it."""

    fault: Fault = "caller"
    repeatable = True
