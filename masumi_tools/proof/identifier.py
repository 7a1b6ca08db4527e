"""The blockchain identifier: what it holds, its one canonical spelling, and whether the seller signed it.

It is LZ-string text of four parts (V1) or five (V2) joined by dots, in hex (protocol N11). The node takes
several spellings of one signed identifier as several purchases, so only `canonical` may be compared or paid.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from hashlib import blake2b, sha256
from typing import Any, Final, Literal

from masumi_tools.errors import IdentifierError

MAX_HEX: Final = 8_000  # the node refuses longer identifiers
MAX_TEXT: Final = 10_000  # real ones hold about 800 characters; a small one can unpack to millions

_HEX: Final = re.compile(r"(?:[0-9a-fA-F]{2})*")
_SELLER: Final = re.compile(r"[0-9a-fA-F]{65,400}")
_PURCHASER: Final = re.compile(r"[0-9a-fA-F]{1,250}")
_CBOR: Final = re.compile(r"(?:[0-9a-fA-F]{2}){1,4000}")
_CONTRACT: Final = re.compile(r"addr[0-9a-z_]{1,246}")
_VKEY: Final = re.compile(r"[0-9a-f]{56}")

_BECH32: Final = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_BECH32_GENERATORS: Final = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)

# Cardano address types (upper half of the first byte) that are paid to a key, with their lengths.
_KEY_ADDRESSES: Final = {0b0000: 57, 0b0010: 57, 0b0110: 29}
_ED_DSA: Final = -8
_OKP: Final = 1
_ED25519: Final = 6


@dataclass(frozen=True)
class BlockchainIdentifier:
    """The parts of a decoded identifier. `signature` and `key` are COSE_Sign1 and COSE_Key in hex.

    Two of them are the same purchase when their `canonical` is equal.
    """

    seller_id: str
    purchaser_identifier: str
    signature: str
    key: str
    contract_address: str | None = None

    @property
    def agent_identifier(self) -> str:
        """The agent that the seller signed for: what follows the 64 digits of the seller's nonce."""
        return self.seller_id[64:]

    @property
    def source_type(self) -> Literal["Web3CardanoV1", "Web3CardanoV2"]:
        """Which contract it is for: only V2 names its contract address."""
        return "Web3CardanoV1" if self.contract_address is None else "Web3CardanoV2"

    @cached_property
    def canonical(self) -> str:
        """The one spelling that the node itself makes: lower-case hex, nothing before or after."""
        parts = [self.seller_id, self.purchaser_identifier, self.signature, self.key]
        return encode(parts if self.contract_address is None else [*parts, self.contract_address])


@dataclass(frozen=True)
class SignedTerms:
    """What the seller signs beside the identifier's own parts, each exactly as it was sent.

    The times are decimal milliseconds as text. `requested_funds` is None for a fixed price, else the list of
    {"amount", "unit"} in the seller's order. The last two are signed for V2 only.
    """

    input_hash: str
    pay_by_time: str
    submit_result_time: str
    unlock_time: str
    external_dispute_unlock_time: str
    requested_funds: Sequence[object] | None = None
    seller_return_address: str | None = None
    source_index: int | None = None


@lru_cache(maxsize=64)  # a hire reads its own when the offer is checked, and again when it is paid and proved
def decode(text: str) -> BlockchainIdentifier:
    """The parts of an identifier in any spelling that the node would take; compare `canonical` afterwards.

    As the node does, it stops reading at the first character that is no hex. IdentifierError where it does
    not decode, is longer than the node takes, or unpacks to more than an identifier can hold.
    """
    if len(text) > MAX_HEX:
        raise IdentifierError(f"The blockchain identifier is longer than {MAX_HEX} characters.")
    found = _HEX.match(text)
    data = bytes.fromhex(found[0]) if found else b""
    if not data or len(data) % 2:
        raise IdentifierError("The blockchain identifier is not an even number of bytes in hex.")
    parts = decompress(data).split(".")
    if len(parts) not in (4, 5):
        raise IdentifierError(
            f"The blockchain identifier has {len(parts)} parts; 4 (V1) or 5 (V2) are right."
        )
    shapes = (
        ("seller id", _SELLER),
        ("purchaser identifier", _PURCHASER),
        ("signature", _CBOR),
        ("key", _CBOR),
        ("contract address", _CONTRACT),
    )
    for (name, shape), part in zip(shapes, parts, strict=False):
        if shape.fullmatch(part) is None:
            raise IdentifierError(f"The {name} in the blockchain identifier has not the right form.")
    return BlockchainIdentifier(*parts)


def encode(parts: Sequence[str]) -> str:
    """The canonical identifier of four parts (V1) or five (V2), as the node makes it from them."""
    return compress(".".join(parts)).hex()


def is_canonical(text: str) -> bool:
    """Whether the identifier decodes and is spelled as the node spells it; only such a one may be paid."""
    try:
        return decode(text).canonical == text
    except IdentifierError:
        return False


def seller_key_hash(identifier: BlockchainIdentifier) -> str:
    """The payment key hash (56 hex digits, the node's `sellerVkey`) of the key inside the identifier.

    It proves nothing before `verify`. IdentifierError where the key does not read.
    """
    public_key = _public_key(identifier.key)
    if public_key is None:
        raise IdentifierError("The key in the blockchain identifier is not an Ed25519 key in COSE form.")
    return _key_hash(public_key).hex()


def verify(identifier: BlockchainIdentifier, terms: SignedTerms, seller_vkey: str) -> str | None:
    """None when the seller of `seller_vkey` signed exactly these terms; else the reason in words.

    The seller's address is read from the signature and must belong to that key (CIP-8), so no address is
    needed. A fixed price is not signed (protocol N11). Never raises, whatever the identifier holds.
    """
    if _VKEY.fullmatch(seller_vkey) is None:
        return "the seller's key hash is not 56 lower-case hex digits"
    public_key = _public_key(identifier.key)
    if public_key is None:
        return "the key in the identifier is not an Ed25519 key in COSE form"
    key_hash = _key_hash(public_key)
    if key_hash.hex() != seller_vkey:
        return f"the identifier is signed with the key {key_hash.hex()}, not with the seller's {seller_vkey}"
    sign1 = _sign1(identifier.signature)
    if sign1 is None:
        return "the signature in the identifier is not a COSE_Sign1 over an address, made with EdDSA"
    if not _is_paid_to(sign1.address, key_hash):
        return "the address in the signature does not belong to the seller's key"
    digest = _digest(identifier, terms, _address_text(sign1.address))
    if isinstance(digest, str):
        return digest
    if sign1.payload != digest:
        return (
            "the seller signed other terms: input hash, times, amounts, purchaser, agent, source index "
            "or an address differ"
        )
    if not _is_signed(sign1, public_key):
        return "the signature was not made with the seller's key"
    return None


def decompress(data: bytes) -> str:
    """The text of LZ-string's Uint8Array form; IdentifierError for other bytes or beyond MAX_TEXT."""
    # Bits are read most significant first, numbers least significant first; beyond the end all bits are 0.
    end = 8 * len(data)
    bits = int(format(int.from_bytes(data, "big"), f"0{end}b")[::-1], 2) if data else 0
    position = 0

    def read(count: int) -> int:
        nonlocal position
        value = bits >> position & (1 << count) - 1
        position += count
        return value

    wrong = IdentifierError("The blockchain identifier is not compressed as the node does it.")
    kind = read(2)
    if kind > 1:
        raise wrong
    word = chr(read(16 if kind else 8))
    words = ["", "", "", word]  # 0 and 1 announce a new character, 2 ends the text
    found, length = [word], 1
    width, left = 3, 4  # bits of a code, and how many codes still have that width
    while position < end:
        code = read(width)
        if code == 2:
            return "".join(found)
        if code < 2:
            words.append(chr(read(16 if code else 8)))
            code, left = len(words) - 1, left - 1
            if not left:
                left, width = 2**width, width + 1
        if code > len(words):
            raise wrong
        entry = words[code] if code < len(words) else word + word[0]
        length += len(entry)
        if length > MAX_TEXT:
            raise IdentifierError(f"The blockchain identifier unpacks to more than {MAX_TEXT} characters.")
        found.append(entry)
        words.append(word + entry[0])
        word, left = entry, left - 1
        if not left:
            left, width = 2**width, width + 1
    raise wrong


def compress(text: str) -> bytes:
    """LZ-string's Uint8Array form of a text, bit for bit what npm lz-string makes; the basic plane only."""
    stream: list[str] = []
    codes: dict[str, int] = {}
    unsaid: set[str] = set()  # characters that have a code but were not written yet
    width, left = 2, 2

    def put(value: int, count: int) -> None:
        stream.append(format(value, f"0{count}b")[::-1])

    def spend() -> None:
        nonlocal width, left
        left -= 1
        if not left:
            left, width = 2**width, width + 1

    def say(word: str) -> None:
        if word in unsaid:
            wide = ord(word) > 255
            put(int(wide), width)
            put(ord(word), 16 if wide else 8)
            spend()
            unsaid.discard(word)
        else:
            put(codes[word], width)
        spend()

    word = ""
    for character in text:
        if character not in codes:
            codes[character] = len(codes) + 3
            unsaid.add(character)
        if word + character in codes:
            word += character
            continue
        say(word)
        codes[word + character] = len(codes) + 3
        word = character
    if word:
        say(word)
    put(2, width)
    bits = "".join(stream)
    bits = bits.ljust(
        len(bits) // 16 * 16 + 16, "0"
    )  # at least one bit of padding, as the original writes it
    return int(bits, 2).to_bytes(len(bits) // 8, "big")


@dataclass(frozen=True, slots=True)
class _Sign1:
    protected: bytes
    address: bytes
    payload: bytes
    signature: bytes


def _cbor(data: bytes | str) -> Any:
    """The decoded CBOR of bytes or hex, None for what does not read: a stranger wrote it."""
    import cbor2

    # Besides its own errors it lets pass RecursionError, and those of decimal, re and email for odd tags.
    try:
        return cbor2.loads(bytes.fromhex(data) if isinstance(data, str) else data)
    except Exception:
        return None


def _public_key(cose_key: str) -> bytes | None:
    key = _cbor(cose_key)
    if not isinstance(key, dict) or key.get(1) != _OKP or key.get(-1) != _ED25519:
        return None
    public_key = key.get(-2)
    return public_key if isinstance(public_key, bytes) and len(public_key) == 32 else None


def _sign1(cose_sign1: str) -> _Sign1 | None:
    outer = _cbor(cose_sign1)
    if not isinstance(outer, list) or len(outer) != 4:
        return None
    protected, _, payload, signature = outer
    if not (isinstance(protected, bytes) and isinstance(payload, bytes) and isinstance(signature, bytes)):
        return None
    header = _cbor(protected)
    if not isinstance(header, dict) or header.get(1) != _ED_DSA or len(signature) != 64:
        return None
    address = header.get("address")
    return _Sign1(protected, address, payload, signature) if isinstance(address, bytes) else None


def _is_signed(sign1: _Sign1, public_key: bytes) -> bool:
    import cbor2
    from nacl.exceptions import CryptoError
    from nacl.signing import VerifyKey

    signed = cbor2.dumps(["Signature1", sign1.protected, b"", sign1.payload])
    try:
        VerifyKey(public_key).verify(signed, sign1.signature)
    except CryptoError:
        return False
    return True


def _is_paid_to(address: bytes, key_hash: bytes) -> bool:
    return (
        len(address) >= 29
        and _KEY_ADDRESSES.get(address[0] >> 4) == len(address)
        and address[0] & 0x0F <= 1
        and address[1:29] == key_hash
    )


def _key_hash(public_key: bytes) -> bytes:
    return blake2b(public_key, digest_size=28).digest()


def _digest(identifier: BlockchainIdentifier, terms: SignedTerms, seller_address: str) -> bytes | str:
    """SHA-256 of what the node lets the seller sign (protocol N11), or why there is no such thing."""
    funds: list[dict[str, str]] | None = None
    if terms.requested_funds is not None:
        funds = []
        for entry in terms.requested_funds:
            amount, unit = (entry.get("amount"), entry.get("unit")) if isinstance(entry, Mapping) else (0, 0)
            if not isinstance(amount, str) or not isinstance(unit, str):
                return "the requested amounts are not pairs of amount and unit as text"
            funds.append({"amount": amount, "unit": "" if unit.lower() == "lovelace" else unit})
    signed: dict[str, object] = {
        "RequestedFunds": funds,
        "agentIdentifier": identifier.agent_identifier,
        "externalDisputeUnlockTime": terms.external_dispute_unlock_time,
        "inputHash": terms.input_hash,
        "payByTime": terms.pay_by_time,
        "purchaserIdentifier": identifier.purchaser_identifier,
        "sellerAddress": seller_address,
        "sellerIdentifier": identifier.seller_id,
        "submitResultTime": terms.submit_result_time,
        "unlockTime": terms.unlock_time,
    }
    if identifier.contract_address is None:
        if terms.source_index is not None:
            return "a V1 identifier has no source index"
    else:
        signed["sellerReturnAddress"] = terms.seller_return_address
        signed["smartContractAddress"] = identifier.contract_address
        if terms.source_index is not None:
            signed["supportedPaymentSourceIndex"] = terms.source_index
    text = json.dumps(signed, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return sha256(text.encode("utf-8", "surrogatepass")).digest()


def _address_text(address: bytes) -> str:
    """The address as people and nodes write it: bech32, without the length limit of its first standard."""
    prefix = "addr" if address[0] & 0x0F else "addr_test"
    bits = "".join(format(byte, "08b") for byte in address)
    values = [int(bits[i : i + 5].ljust(5, "0"), 2) for i in range(0, len(bits), 5)]
    check = 1
    for value in [*(ord(c) >> 5 for c in prefix), 0, *(ord(c) & 31 for c in prefix), *values, *[0] * 6]:
        top, check = check >> 25, (check & 0x1FFFFFF) << 5 ^ value
        for i, generator in enumerate(_BECH32_GENERATORS):
            check ^= generator if top >> i & 1 else 0
    check ^= 1
    values += [check >> 5 * (5 - i) & 31 for i in range(6)]
    return prefix + "1" + "".join(_BECH32[value] for value in values)
