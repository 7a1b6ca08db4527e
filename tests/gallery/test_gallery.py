"""A gallery of sellers, one for each dialect of the field, each hired over HTTP to its right end.

What is written here of a dialect is what stands in docs/field.md: `python -m tests.gallery.test_gallery`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.gallery import flows, platforms, reference, standard
from tests.gallery.seller import Seller
from tests.gallery.street import OpenStreet

DOCS = Path(__file__).parents[2] / "docs" / "field.md"
HELLO = {"text": "hello"}


@dataclass(frozen=True)
class End:
    """How a hire of this seller ends: what is given, the outcome, and how it is known."""

    seller: type[Seller]
    data: dict[str, Any]
    outcome: str
    verified: bool | None = None
    result_form: str | None = None
    input_form: str | None = None
    says: str = ""
    starts: int = 1
    answers: tuple[dict[str, Any], ...] = ()
    max_price: str | None = None
    ada: int = 1

    @property
    def name(self) -> str:
        return self.seller.name

    @property
    def words(self) -> str:
        """The end as the document tells it."""
        if self.outcome == "refused":
            return f"refused before paying: `{self.says}`"
        proof = f"verified ({self.result_form})" if self.verified else "result kept, not verified"
        asked = f", {len(self.answers)} answer{'s' if len(self.answers) > 1 else ''}" if self.answers else ""
        retried = (
            ", second form of the input" if self.starts > 1 and self.input_form != "array-sorted" else ""
        )
        return f"completed, {proof}{asked}{retried}"


def completed(
    seller: type[Seller], data: dict[str, Any], form: str, input_form: str = "jcs", **more: Any
) -> End:
    return End(seller, data, "completed", True, form, input_form, **more)


def unverified(seller: type[Seller], data: dict[str, Any], **more: Any) -> End:
    return End(seller, data, "completed", False, None, "jcs", **more)


def refused(seller: type[Seller], data: dict[str, Any], says: str, **more: Any) -> End:
    return End(seller, data, "refused", says=says, **more)


ENDS = [
    completed(standard.Spec, HELLO, "raw"),
    completed(standard.SpecV2, HELLO, "raw"),
    completed(standard.Dynamic, HELLO, "raw", max_price="2 ADA", ada=2),
    completed(standard.Official, {**HELLO, "deep": True}, "escaped"),
    completed(standard.Quickstart, {**HELLO, "pages": 3}, "escaped", starts=2),
    completed(standard.Haus, {"file": "https://files.example/nda.pdf"}, "escaped"),
    refused(standard.HausWithoutKey, {"file": "https://files.example/nda.pdf"}, "sellerVKey: missing"),
    completed(standard.Legacy, HELLO, "raw", "no-separator"),
    refused(reference.Reference, HELLO, "payByTime: missing"),
    completed(reference.Dashboard, {"topic": "tides", "style": "long"}, "escaped-first-64"),
    refused(reference.Contract, {"contract_type": "nda", "parties": "A, B"}, "input_hash: missing", starts=2),
    completed(reference.FlatBody, {"contract_type": "nda", "parties": "A, B"}, "raw", starts=2),
    refused(reference.Invoice, {"parties": "A, B"}, "invoice_info"),
    refused(reference.Seo, {"website_url": "https://shop.example"}, "payment_id"),
    completed(reference.SeoWithTerms, {"website_url": "https://shop.example"}, "escaped"),
    completed(platforms.Kodosumi, {**HELLO, "role": "Man"}, "escaped"),
    refused(platforms.KodosumiUnprepared, {**HELLO, "role": "Man"}, "blockchainIdentifier"),
    refused(platforms.KodosumiFailed, {**HELLO, "role": "Man"}, "flow /x/y is not alive"),
    unverified(platforms.KodosumiList, {**HELLO, "role": "Man"}),
    unverified(platforms.Connector, {**HELLO, "tone": "plain"}, starts=2),
    refused(platforms.Bridge, HELLO, "payByTime: in seconds"),
    unverified(platforms.BridgeWholeSeconds, HELLO),
    unverified(flows.N8n, {"question": "why"}),
    refused(flows.N8nError, {"question": "why"}, "Payment service did not answer"),
    completed(flows.Langdock, HELLO, "raw", "array-sorted", starts=2, answers=({"approve": True},)),
    completed(flows.LangdockObject, HELLO, "raw-jcs", "array-sorted", starts=2, answers=({"approve": True},)),
    completed(
        flows.Saas,
        {"9": "a", "10": "b", "text": "c"},
        "raw",
        "canonical-json",
        answers=({"message": "go on"}, {"message": "", "finish": True}),
    ),
    completed(flows.Token2049, HELLO, "raw"),
    refused(flows.Token2049Odd, HELLO, "blockchainIdentifier"),
    refused(flows.Dhan, {"topic": "tides"}, "payment_id"),
    refused(flows.OffContract, HELLO, "blockchainIdentifier"),
    completed(flows.Lines, HELLO, "escaped"),
]


@pytest.fixture
def street(tmp_path: Path) -> Iterator[OpenStreet]:
    with OpenStreet(tmp_path) as street:
        street.advance(123)
        yield street


@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.name)
def test_each_seller_is_hired_to_its_right_end(street: OpenStreet, end: End) -> None:
    seller = street.open(end.seller)
    buyer = street.buyer()

    receipt = buyer.hire(seller.agent, end.data, max_price=end.max_price, patience_s=1800)
    for answer in end.answers:
        assert receipt.outcome == "needs_input", receipt.reason
        street.advance(61_000)
        receipt = buyer.answer(receipt.hire_id, answer, patience_s=1800)

    bought = street.purchases(seller)
    assert receipt.outcome == end.outcome, receipt.reason
    assert street.serving.count(end.name, "POST /start_job") == end.starts
    if end.outcome == "refused":
        assert end.says in receipt.reason
        assert (bought, receipt.where_the_money_is) == ([], "Nothing was paid.")
    else:
        assert len(bought) == 1
        assert (receipt.verified, receipt.result_hash_form) == (end.verified, end.result_form)
        assert receipt.input_hash_form == end.input_form
        assert sum(int(amount["amount"]) for amount in bought[0]["PaidFunds"]) == 1_000_000 * end.ada


def table() -> str:
    lines = ["| seller | what it does | end |", "|---|---|---|"]
    for end in ENDS:
        about = " ".join((end.seller.__doc__ or "").split())
        lines.append(f"| {end.name} | {about} | {end.words} |")
    return "\n".join(lines)


def test_the_document_tells_these_ends() -> None:
    assert table() in DOCS.read_text(), "docs/field.md is stale: run python -m tests.gallery.test_gallery"


if __name__ == "__main__":
    text = DOCS.read_text()
    head, _, rest = text.partition("<!-- gallery -->")
    tail = rest.partition("<!-- end of gallery -->")[2]
    DOCS.write_text(f"{head}<!-- gallery -->\n{table()}\n<!-- end of gallery -->{tail}")
