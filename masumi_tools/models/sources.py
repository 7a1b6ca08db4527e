"""Payment sources of a listing: by which chain and contract it is paid, at which price, and which one we take."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from masumi_tools.models.price import Price, PricingType, read_price
from masumi_tools.models.wire import Names

V1: Final = "Web3CardanoV1"
V2: Final = "Web3CardanoV2"
PRICING: Final = ("AgentPricing", "pricing")
_SOURCES: Final = ("supportedPaymentSources",)


@dataclass(frozen=True, slots=True)
class PaymentOption:
    """One payment source of a listing: by which chain and contract it is paid, and its own price.

    `index` is what the seller signs, None where the listing does not tell it.
    """

    index: int | None
    chain: str
    network: str
    source_type: str
    address: str
    price: Price


def price_of_sources(
    names: Names, version: int | None, network: str | None, problems: list[str]
) -> tuple[Price, Names | None, tuple[PaymentOption, ...]]:
    """The price, the payment source that it stands in, and all sources (protocol N13).

    We pay by the first source that is Cardano, on the network, and of a kind of escrow that we know; which
    one the seller takes is told by its signed offer and compared with the list (`option_problem`).
    """
    sources = [Names(s) for s in names.list(*_SOURCES) if isinstance(s, Mapping)]
    top = names.get(*PRICING)
    if not sources:
        price = read_price(top) if top is not None else Price(problems=("AgentPricing: missing",))
        if version == 2 and top is not None:
            problems.append("AgentPricing: metadata version 2 keeps its prices in supported_payment_sources")
        return price, None, ()
    flat = [_flat(source, position) for position, source in enumerate(sources)]
    options = tuple(_option(source) for source in flat)
    wanted = network or names.text("network")
    usable = [
        (source, option)
        for source, option in zip(flat, options, strict=True)
        if option.chain.lower() == "cardano"
        and wanted in (None, option.network)
        and option.source_type in ("", V1, V2)
        and source.get(*PRICING) is not None
    ]
    if usable:
        chosen, option = usable[0]
        above = read_price(top) if top is not None else None
        if above is not None and not above.problems and _differ(above, option.price):
            problems.append(
                f"AgentPricing: {_words(above)} at the top, but {_words(option.price)} in its payment source; "
                "which one is due is not said"
            )
        return option.price, chosen, options
    if top is None:
        chains = ", ".join(dict.fromkeys(f"{option.chain} {option.network}".strip() for option in options))
        where = f" on {wanted}" if wanted else ""
        problems.append(f"supportedPaymentSources: none for Cardano{where}; there are {chains}")
        return Price(), None, options
    return read_price(top), None, options


def _option(source: Names) -> PaymentOption:
    value = source.get(*PRICING)
    return PaymentOption(
        index=index_of(source),
        chain=source.text("chain") or "Cardano",
        network=source.text("network") or "",
        source_type=source.text("paymentSourceType") or "",
        address=source.text("address") or "",
        price=read_price(value) if value is not None else Price(),
    )


def _differ(one: Price, other: Price) -> bool:
    return (one.pricing, one.amounts) != (other.pricing, other.amounts)


def _words(price: Price) -> str:
    return " + ".join(map(str, price.amounts)) or str(price.pricing or "no price")


def price_notes(price: Price) -> Iterator[str]:
    if price.pricing is PricingType.FIXED and price.is_free:
        yield "AgentPricing: the fixed price is 0, which many services leave where they never set one"
    for amount in price.amounts:
        if " base units of " in (said := str(amount)):
            yield f"AgentPricing: {said}; how many decimals that unit has is not known"


def option_problem(
    options: Sequence[PaymentOption], quoted: tuple[int | None, str | None, Price], index: int | None
) -> str | None:
    """Why an offer by this payment source is not the one that was quoted; None where it is, or none is listed.

    `quoted` is the index, the network and the price of the source that the quote was made for.
    """
    chosen, network, price = quoted
    if index is None or not options or any(option.index is None for option in options):
        return None
    option = next((option for option in options if option.index == index), None)
    if option is None:
        return f"the offer is paid by source {index}, which the listing does not have"
    if option.chain.lower() != "cardano" or (network and option.network not in ("", network)):
        return f"the offer is paid by source {index}, which is {option.chain} on {option.network}"
    if _differ(option.price, price):
        return (
            f"the offer is paid by source {index} at {_words(option.price)}, "
            f"the quote was for source {chosen} at {_words(price)}"
        )
    return None


def _flat(source: Names, position: int) -> Names:
    """A payment source whose `settlement` level, which only the chain has, is taken out."""
    settlement = source.object("settlement")
    if settlement is None:
        return source
    return Names({"sourceIndex": position, **source.raw, **settlement.raw})


def index_of(source: Names) -> int | None:
    value = source.get("sourceIndex", "supportedPaymentSourceIndex", "index")
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 24 else None
