"""A guarded wallet: what its policy says to the next locks (protocol N4.2)."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

DENIED = "PolicyDenied"


@dataclass(slots=True)
class Guard:
    """The answers that the policy of the purchasing wallets has ready for the next locks; none means yes.

    Each is a note and whether it is lasting: then the row waits for the operator with ``PolicyDenied``,
    otherwise it stays queued with the note and is tried again by the next batch.
    """

    answers: deque[tuple[str, bool]] = field(default_factory=deque)

    def deny(self, note: str, *, lasting: bool, times: int = 1) -> None:
        self.answers.extend([(note, lasting)] * times)

    def take(self) -> tuple[str, bool] | None:
        return self.answers.popleft() if self.answers else None
