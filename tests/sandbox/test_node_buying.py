"""What the simulated node signs, checks and charges when somebody buys, and with which key."""

from __future__ import annotations

from dataclasses import replace

import pytest

from masumi_tools.sandbox.chain import identifier
from masumi_tools.sandbox.timetext import MINUTE, iso
from masumi_tools.sandbox.wire import Response

from .market import INPUT_HASH, NONCE, SOON, Market


@pytest.fixture
def market() -> Market:
    return Market()


def message(response: Response) -> str:
    return str(response.json()["error"]["message"])


@pytest.mark.parametrize("amount", ["1", "0x1", " 1 ", "01", "0b1", "+1"])
def test_dynamic_amount_is_signed_as_text_and_answered_as_number(market: Market, amount: str) -> None:
    agent = market.agent(1, kind="Dynamic")
    funds = [{"amount": amount, "unit": "LOVELACE"}]
    offer = market.offer(agent, RequestedFunds=funds)
    assert offer["RequestedFunds"] == [{"amount": "1", "unit": ""}]
    answered = market.call("POST", "/purchase", market.order(agent, offer, Amounts=offer["RequestedFunds"]))
    if amount == "1":
        assert answered.status == 200
    else:
        assert message(answered) == "Invalid blockchain identifier, signature invalid"
        assert market.call("POST", "/purchase", market.order(agent, offer, Amounts=funds)).status == 200


@pytest.mark.parametrize("amount", ["1.5", "-", "1e3", "1_0", "0x", "9" * 19 + "0"])
def test_amount_that_is_no_64_bit_number_ends_as_a_500(market: Market, amount: str) -> None:
    agent = market.agent(1, kind="Dynamic")
    now = market.world.now_ms()
    body = {
        "network": "Preprod",
        "agentIdentifier": agent.agent_identifier,
        "inputHash": INPUT_HASH,
        "identifierFromPurchaser": NONCE,
        "payByTime": iso(now + 20 * MINUTE),
        "submitResultTime": iso(now + 60 * MINUTE),
        "RequestedFunds": [{"amount": amount, "unit": ""}],
    }
    assert market.refused("POST", "/payment", body) == (500, "Internal Server Error")
    market.world.production = False
    assert market.refused("POST", "/payment", body)[1] != "Internal Server Error"


@pytest.mark.parametrize(
    "field", ["unlockTime", "externalDisputeUnlockTime", "payByTime", "submitResultTime"]
)
def test_only_two_times_are_signed_as_text(market: Market, field: str) -> None:
    agent = market.agent(1)
    offer = market.offer(agent)
    body = market.order(agent, offer, **{field: " 0" + offer[field]})
    expected = 200 if field in ("unlockTime", "externalDisputeUnlockTime") else 400
    assert market.call("POST", "/purchase", body).status == expected


@pytest.mark.parametrize("suffix", [" ", "\n", "zz", "ffff", "7"])
def test_each_spelling_of_an_identifier_is_another_purchase(market: Market, suffix: str) -> None:
    agent = market.agent(1)
    offer = market.offer(agent)
    text = offer["blockchainIdentifier"]
    assert market.call("POST", "/purchase", market.order(agent, offer)).status == 200
    spelled = market.order(agent, offer, blockchainIdentifier=text + suffix)
    assert market.call("POST", "/purchase", spelled).status == 200
    assert market.data("GET", "/purchase/count", network="Preprod") == {"total": 2}


@pytest.mark.parametrize(("prefix", "suffix", "status"), [("", "00", 500), (" ", "", 400)])
def test_spellings_that_do_not_decode(market: Market, prefix: str, suffix: str, status: int) -> None:
    agent = market.agent(1)
    offer = market.offer(agent)
    spelled = prefix + offer["blockchainIdentifier"] + suffix
    assert (
        market.refused("POST", "/purchase", market.order(agent, offer, blockchainIdentifier=spelled))[0]
        == status
    )


def test_forged_identifier_is_refused(market: Market) -> None:
    """A seller's signature by another wallet's key, even one that the node knows."""
    honest, other = market.agent(1), market.agent(2)
    mine, theirs = market.offer(honest), market.offer(other)
    good, bad = (
        identifier.decode(mine["blockchainIdentifier"]),
        identifier.decode(theirs["blockchainIdentifier"]),
    )
    assert good is not None and bad is not None
    cases = {
        "key does not match": identifier.Parts(good.seller_id, good.purchaser_id, good.signature, bad.key),
        "signature invalid": identifier.Parts(good.seller_id, good.purchaser_id, bad.signature, good.key),
    }
    for reason, parts in cases.items():
        body = market.order(honest, mine, blockchainIdentifier=identifier.encode(parts))
        assert market.refused("POST", "/purchase", body) == (400, f"Invalid blockchain identifier, {reason}")


@pytest.mark.parametrize("junk", ["00", "zz", "", "a0", "84"])
@pytest.mark.parametrize("place", ["key", "signature"])
def test_a_key_or_signature_that_does_not_read_is_a_500(market: Market, junk: str, place: str) -> None:
    agent = market.agent(1)
    offer = market.offer(agent)
    good = identifier.decode(offer["blockchainIdentifier"])
    assert good is not None
    broken = identifier.encode(replace(good, **{place: junk}))
    body = market.order(agent, offer, blockchainIdentifier=broken)
    assert market.refused("POST", "/purchase", body)[0] == 500


def test_v2_purchase_needs_the_return_address_that_was_signed(market: Market) -> None:
    agent = market.agent(2)
    address = market.world.wallets[-1].address
    offer = market.offer(agent, sellerReturnAddress=address)
    refused = market.refused("POST", "/purchase", market.order(agent, offer))
    assert refused[1].endswith("signature invalid")
    script = "addr_test1wz7j4kmg2cs7yf92uat3ed4a3u97kr7axxr4avaz0lhwdsqukgwfm"
    body = market.order(agent, offer, sellerReturnAddress=address)
    assert (
        "payment key credential"
        in market.refused("POST", "/purchase", body | {"buyerReturnAddress": script})[1]
    )
    assert market.call("POST", "/purchase", body).status == 200


def test_return_address_of_the_seller_is_its_collection_address_unless_told(market: Market) -> None:
    agent, bare = market.agent(2), market.world.wallets[-1].address
    assert agent.wallet is not None
    agent.wallet.collection_address = bare
    offer = market.offer(agent)
    assert offer["sellerReturnAddress"] == bare
    bought = market.data("POST", "/purchase", market.order(agent, offer))
    assert bought["sellerReturnAddress"] == bare
    offer = market.offer(agent)
    agent.wallet.collection_address = None  # as on a node that does not have the seller's wallet
    assert market.refused("POST", "/purchase", market.order(agent, offer))[1].endswith("signature invalid")
    told = market.order(agent, offer, sellerReturnAddress=bare)
    assert market.call("POST", "/purchase", told).status == 200


def test_v2_purchase_needs_a_source_of_the_agents_policy(market: Market) -> None:
    agent, other = market.agent(2), market.agent(1)
    offer = market.offer(agent)
    body = market.order(agent, offer, agentIdentifier=other.agent_identifier)
    missing = "No configured V2 payment source found for smartContractAddress"
    assert market.refused("POST", "/purchase", body) == (404, missing)
    wrong = market.order(agent, offer, smartContractAddress="addr_test1xx")
    assert market.refused("POST", "/purchase", wrong)[1].endswith("smartContractAddress mismatch")
    assert market.call("POST", "/purchase", market.order(agent, offer, smartContractAddress="")).status == 200


def test_v2_purchase_of_another_contracts_entry_is_refused(market: Market) -> None:
    agent = market.agent(2)
    offer = market.offer(agent)
    assert agent.metadata is not None
    entry = agent.metadata["supported_payment_sources"][0]
    entry["settlement"] = entry["settlement"] | {"address": market.world.wallets[0].address}
    assert market.refused("POST", "/purchase", market.order(agent, offer)) == (
        400,
        "Selected Cardano payment source settlement does not match the signed smartContractAddress",
    )


@pytest.mark.parametrize(
    ("amounts", "status"),
    [
        ([("3000000", "")], 200),
        ([("1", "lovelace"), ("2999999", "LOVELACE")], 200),
        ([("3000000", ""), ("0", "")], 200),
        ([("3000000", ""), ("0", "ab" * 30)], 400),
        ([("2999999", "")], 400),
        ([], 400),
    ],
)
def test_amounts_of_a_fixed_price_are_compared_by_their_sums(
    market: Market, amounts: list[tuple[str, str]], status: int
) -> None:
    agent = market.agent(1)
    told = [{"amount": amount, "unit": unit} for amount, unit in amounts]
    body = market.order(agent, market.offer(agent), Amounts=told)
    assert market.call("POST", "/purchase", body).status == status


def test_split_dynamic_amounts_are_paid_as_one(market: Market) -> None:
    agent = market.agent(1, kind="Dynamic")
    funds = [{"amount": "1000000", "unit": ""}, {"amount": "2000000", "unit": "lovelace"}]
    offer = market.offer(agent, RequestedFunds=funds)
    bought = market.data("POST", "/purchase", market.order(agent, offer, Amounts=funds))
    assert bought["PaidFunds"] == [{"amount": "3000000", "unit": ""}]


def test_agent_without_metadata_is_not_found(market: Market) -> None:
    agent = market.agent(1)
    offer = market.offer(agent)
    agent.metadata = None
    assert market.refused("POST", "/purchase", market.order(agent, offer)) == (
        404,
        "Agent identifier not found",
    )


def test_return_addresses_get_the_money(market: Market) -> None:
    agent = market.agent(1)
    ours = market.world.wallets[-1].address
    offer = market.offer(agent)
    market.data("POST", "/purchase", market.order(agent, offer, buyerReturnAddress=ours))
    before = market.world.chain.balance(ours)[""]
    market.world.advance(71 * MINUTE)
    assert market.world.chain.balance(ours)[""] == before + 3_000_000


# Keys


def test_scoped_key_pays_from_its_own_wallets_only(market: Market) -> None:
    world = market.world
    source = world.source_of("Web3CardanoV1")
    own = world.add_wallet(source, "Purchasing", [(50_000_000, "")])
    key = world.add_key(pay=True, wallet_scoped=True, wallet_ids=(own.id,))
    agent, other = market.agent(1), market.agent(2)
    offer = market.offer(agent)
    assert market.call("POST", "/purchase", market.order(agent, offer), token=key.token).status == 200
    resolve = {"network": "Preprod", "blockchainIdentifier": offer["blockchainIdentifier"]}
    path = "/purchase/resolve-blockchain-identifier"
    assert market.call("POST", path, resolve, token=key.token).status == 404
    world.advance(SOON)
    row = market.data("POST", path, resolve, token=key.token)
    assert row["SmartContractWallet"]["id"] == own.id
    offer = market.offer(other)
    assert market.call("POST", "/purchase", market.order(other, offer), token=key.token).status == 200
    world.advance(SOON)
    assert market.purchase(offer["blockchainIdentifier"])["NextAction"]["errorType"] == "InsufficientFunds"
    now = world.now_ms()
    body = {
        "network": "Preprod",
        "agentIdentifier": agent.agent_identifier,
        "inputHash": INPUT_HASH,
        "identifierFromPurchaser": NONCE,
        "payByTime": iso(now + 20 * MINUTE),
        "submitResultTime": iso(now + 60 * MINUTE),
    }
    assert market.refused("POST", "/payment", body, token=key.token) == (404, "Not found")


def test_credit_spelled_lovelace_never_pays(market: Market) -> None:
    admin = market.world.admin_token
    body = {"UsageCredits": [{"unit": "lovelace", "amount": "9000000"}], "permission": "ReadAndPay"}
    made = market.data("POST", "/api-key", body, token=admin)
    assert made["usageLimited"] is True
    agent = market.agent(1)
    order = market.order(agent, market.offer(agent))
    assert market.refused("POST", "/purchase", order, token=made["token"]) == (400, "Insufficient funds")
    assert market.call("POST", "/purchase", order).status == 200


def test_admin_lists_and_changes_keys(market: Market) -> None:
    admin = market.world.admin_token
    keys = market.data("GET", "/api-key", token=admin)["ApiKeys"]
    assert [key["permission"] for key in keys] == ["ReadAndPay", "ReadAndPay", "Admin"]
    again = market.data("GET", "/api-key", token=admin, cursorId=keys[1]["id"])["ApiKeys"]
    assert again == keys[1:]
    assert market.data("GET", "/api-key", token=admin, cursorId="nope") == {"ApiKeys": []}
    refused = market.refused("PATCH", "/api-key", {"id": keys[2]["id"]}, token=admin)
    assert refused == (400, "Admin API keys cannot have usage limits")
    assert market.refused("PATCH", "/api-key", {"id": "nope"}, token=admin)[0] == 404


@pytest.mark.parametrize(
    ("changes", "left"),
    [
        (["5"], ["5"]),
        (["5", "-2"], ["3"]),
        (["5", "-5"], []),
        (["5", "0"], ["5"]),
        (["0"], None),
        (["5", "-6"], None),
        (["-1", "5"], None),
    ],
)
def test_credits_are_added_and_taken_one_by_one(
    market: Market, changes: list[str], left: list[str] | None
) -> None:
    admin = market.world.admin_token
    made = market.data("POST", "/api-key", {"UsageCredits": []}, token=admin)
    change = {
        "id": made["id"],
        "UsageCreditsToAddOrRemove": [{"unit": "", "amount": amount} for amount in changes],
    }
    if left is None:
        assert market.refused("PATCH", "/api-key", change, token=admin) == (400, "Invalid amount")
        left = []
    else:
        market.data("PATCH", "/api-key", change, token=admin)
    shown = market.data("GET", "/api-key", token=admin, cursorId=made["id"])["ApiKeys"][0]
    assert [credit["amount"] for credit in shown["RemainingUsageCredits"]] == left


def test_what_a_new_key_may_do(market: Market) -> None:
    admin, body = market.world.admin_token, {"UsageCredits": []}
    made = market.data(
        "POST", "/api-key", body | {"canPay": True, "WalletScopeHotWalletIds": ["x"]}, token=admin
    )
    assert (made["canRead"], made["canPay"], made["canAdmin"], made["WalletScopes"]) == (
        True,
        True,
        False,
        [],
    )
    wallet = market.world.wallets[0].id
    scoped = body | {"walletScopeEnabled": "true", "WalletScopeHotWalletIds": [wallet], "canRead": False}
    made = market.data("POST", "/api-key", scoped, token=admin)
    assert (made["canRead"], made["WalletScopes"]) == (False, [{"hotWalletId": wallet}])
    unknown = scoped | {"WalletScopeHotWalletIds": ["x"]}
    assert market.refused("POST", "/api-key", unknown, token=admin) == (500, "Internal Server Error")
    boss = {**body, "permission": "Admin", "usageLimited": "false", "NetworkLimit": ["Preprod"]}
    made = market.data("POST", "/api-key", boss, token=admin)
    assert made["token"].startswith("masumi-payment-admin-")
    assert (made["NetworkLimit"], made["ChainIdLimit"]) == (["Mainnet", "Preprod"], [])
    for more, what in (
        ({"usageLimited": "true"}, "usage limits"),
        ({"walletScopeEnabled": "true"}, "wallet scope enabled"),
    ):
        refused = market.refused("POST", "/api-key", boss | more, token=admin)
        assert refused == (400, f"Admin API keys cannot have {what}")
    negative = {"UsageCredits": [{"unit": "", "amount": "-1"}]}
    assert market.refused("POST", "/api-key", negative, token=admin) == (400, "Invalid amount")


def test_rate_limit_opens_again_after_a_minute_and_spares_admins(market: Market) -> None:
    body = {"webhookId": "nope"}
    for _ in range(10):
        assert market.refused("POST", "/webhooks/test", body)[0] == 404
    market.world.advance(20_500)
    limited = market.call("POST", "/webhooks/test", body)
    assert (limited.status, limited.headers["retry-after"]) == (429, "40")
    market.world.advance(40_000)
    assert market.refused("POST", "/webhooks/test", body)[0] == 404
    for _ in range(12):
        assert market.refused("POST", "/webhooks/test", body, token=market.world.admin_token)[0] == 404
