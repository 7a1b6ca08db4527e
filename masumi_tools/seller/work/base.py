"""What every kind of work is to the rest of the shop, and how work says that it failed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from masumi_tools.inputs import InputSpec
from masumi_tools.seller.work.human import WorkContext


class WorkFailed(Exception):
    """The work came to no result that can be sold. Raise it in your work: the buyer reads its text.

    The text of every other exception goes to the seller's log alone.
    """


class WorkBroke(Exception):
    """The work raised in another process: the class of what it raised, and its traceback for the log."""

    def __init__(self, kind: str, trace: str) -> None:
        super().__init__(trace)
        self.kind = kind


class Work(Protocol):
    """One kind of work. `run` is called in a thread of its own with checked values."""

    def derived(self) -> InputSpec:
        """The input fields that follow from the work itself."""

    def bind(self, spec: InputSpec) -> None:
        """Told which fields are served; they may be the seller's own. InputError where they do not do."""

    def missing(self, values: Mapping[str, Any]) -> dict[str, list[str]]:
        """What the work needs and `values` lack, by name: a reason to refuse the job before it is paid."""

    def run(self, values: Mapping[str, Any], context: WorkContext) -> str:
        """Do the work; the text of its result. WorkFailed where there is none to sell."""
