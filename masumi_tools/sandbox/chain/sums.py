"""The chain of the sandbox: who holds what. Money is only moved here, and the sum never changes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from .rows import Escrow, Funds

FEE = 331_245
"""Lovelace that every transaction costs its sender."""
FEE_BUFFER = 2_000_000
"""Lovelace that must be in a wallet beyond what it locks (protocol N4.2)."""
LEAST_OUTPUT = 2_000_000
LEAST_COLLATERAL = 1_435_230


class InsufficientMoney(Exception):
    """A wallet does not hold what a transaction would take from it."""


def as_sums(funds: Iterable[tuple[int, str]]) -> Counter[str]:
    """Base units per unit."""
    sums: Counter[str] = Counter()
    for amount, unit in funds:
        sums[unit] += amount
    return sums


def collateral_for(funds: Funds) -> int:
    """Lovelace that a lock of ``funds`` must add to reach the least output, returned later; 0 when none."""
    lovelace = as_sums(funds)[""]
    return 0 if lovelace >= LEAST_OUTPUT else max(LEAST_COLLATERAL, LEAST_OUTPUT - lovelace)


class Chain:
    """Balances by address, what lies in the contracts, and the fees that were burnt."""

    def __init__(self) -> None:
        self.balances: dict[str, Counter[str]] = {}
        self.escrowed: Counter[str] = Counter()
        self.minted: Counter[str] = Counter()
        self.fees = 0
        self.lose = 0
        """How many of the next transactions never land (a test of what a buyer does then)."""

    def balance(self, address: str) -> Counter[str]:
        found = self.balances.get(address)
        if found is None:
            found = self.balances[address] = Counter()
        return found

    def mint(self, address: str, funds: Iterable[tuple[int, str]]) -> None:
        """New money from nowhere, the only way it comes to be."""
        for amount, unit in funds:
            self.balance(address)[unit] += amount
            self.minted[unit] += amount

    def can_lock(self, address: str, funds: Funds) -> bool:
        """True when ``address`` holds the funds, their collateral and the buffer for fees."""
        needed = as_sums(funds)
        needed[""] += collateral_for(funds) + FEE_BUFFER
        held = self.balance(address)
        return all(held[unit] >= amount for unit, amount in needed.items())

    def lock(self, escrow: Escrow) -> None:
        """Move the escrow's funds and collateral from the buyer's wallet into the contract."""
        for unit, amount in self._content(escrow).items():
            self.balance(escrow.buyer_wallet.address)[unit] -= amount
            self.escrowed[unit] += amount

    def unlock(self, escrow: Escrow, shares: Iterable[tuple[str, Funds]]) -> None:
        """Pay the whole content of the escrow out to addresses; ValueError when the shares do not add up."""
        given = list(shares)
        if as_sums(pair for _, funds in given for pair in funds) != self._content(escrow):
            raise ValueError("the shares are not the content of the escrow")
        for address, funds in given:
            for amount, unit in funds:
                self.balance(address)[unit] += amount
                self.escrowed[unit] -= amount

    def loses(self) -> bool:
        """Whether the next transaction is one of those that never land; counts down."""
        if self.lose <= 0:
            return False
        self.lose -= 1
        return True

    def pay_fee(self, address: str) -> None:
        """Burn one transaction's fee; InsufficientMoney when the address does not hold it."""
        held = self.balance(address)
        if held[""] < FEE:
            raise InsufficientMoney(address)
        held[""] -= FEE
        self.fees += FEE

    def total(self) -> Counter[str]:
        """Everything that exists, per unit: always what was minted."""
        sums: Counter[str] = Counter(self.escrowed)
        sums[""] += self.fees
        for held in self.balances.values():
            sums.update(held)
        return sums

    @staticmethod
    def _content(escrow: Escrow) -> Counter[str]:
        content = as_sums(escrow.funds)
        if escrow.collateral:
            content[""] += escrow.collateral
        return content
