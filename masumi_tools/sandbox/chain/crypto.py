"""Throw-away Ed25519 keys, Cardano addresses, and the CIP-8 signatures that stand in an identifier."""

from __future__ import annotations

import hashlib
from functools import lru_cache

import cbor2
from nacl.exceptions import CryptoError
from nacl.signing import SigningKey, VerifyKey

CHARSET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"


def key_hash(public_key: bytes) -> bytes:
    """The 28-byte payment key hash that nodes call ``walletVkey``."""
    return hashlib.blake2b(public_key, digest_size=28).digest()


def _polymod(values: list[int]) -> int:
    check = 1
    for value in values:
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ value
        for bit, generator in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            if top >> bit & 1:
                check ^= generator
    return check


def _expand(prefix: str) -> list[int]:
    return [ord(c) >> 5 for c in prefix] + [0] + [ord(c) & 31 for c in prefix]


def _to_fives(data: bytes) -> list[int]:
    pad = -len(data) * 8 % 5
    number = int.from_bytes(data, "big") << pad
    count = (len(data) * 8 + pad) // 5
    return [number >> 5 * (count - 1 - i) & 31 for i in range(count)]


def _from_fives(data: list[int]) -> bytes | None:
    number = 0
    for value in data:
        number = number << 5 | value
    rest = len(data) * 5 % 8
    if rest >= 5 or number & (1 << rest) - 1:
        return None
    return (number >> rest).to_bytes(len(data) * 5 // 8, "big")


def bech32(prefix: str, payload: bytes) -> str:
    """The bech32 text of a Cardano address; longer than BIP-173 allows, as Cardano does."""
    data = _to_fives(payload)
    check = _polymod(_expand(prefix) + data + [0] * 6) ^ 1
    data += [check >> 5 * (5 - i) & 31 for i in range(6)]
    return prefix + "1" + "".join(CHARSET[d] for d in data)


def unbech32(text: str) -> tuple[str, bytes] | None:
    """Prefix and payload of a bech32 text, None when it is none."""
    if text.lower() != text and text.upper() != text:
        return None
    prefix, found, rest = text.lower().rpartition("1")
    if not found or not prefix or len(rest) < 6 or any(c not in CHARSET for c in rest):
        return None
    data = [CHARSET.index(c) for c in rest]
    if _polymod(_expand(prefix) + data) != 1:
        return None
    payload = _from_fives(data[:-6])
    return None if payload is None else (prefix, payload)


class Signer:
    """A throw-away Ed25519 key made from 32 random bytes; it signs as CIP-8 lets a Cardano wallet sign."""

    __slots__ = ("_key", "public_key")

    def __init__(self, seed: bytes) -> None:
        self._key = SigningKey(seed)
        self.public_key = bytes(self._key.verify_key)

    @property
    def vkey(self) -> str:
        """Payment key hash, 56 hex characters."""
        return key_hash(self.public_key).hex()

    def address(self, network: str) -> str:
        """A base address (key payment part and key stake part) of ``network``."""
        stake = key_hash(b"stake" + self.public_key)
        mainnet = network == "Mainnet"
        payload = bytes([0x01 if mainnet else 0x00]) + key_hash(self.public_key) + stake
        return bech32("addr" if mainnet else "addr_test", payload)

    def sign(self, message: bytes, address: str) -> tuple[str, str]:
        """CIP-8 signature of ``message``: (COSE_Sign1 hex, COSE_Key hex); the header names ``address``."""
        protected = cbor2.dumps({1: -8, 4: self.public_key, "address": raw_address(address)})
        signature = self._key.sign(_to_sign(protected, message)).signature
        cose = cbor2.dumps([protected, {"hashed": False}, message, signature])
        key = cbor2.dumps({1: 1, 3: -8, -1: 6, -2: self.public_key})
        return cose.hex(), key.hex()


def _to_sign(protected: bytes, message: bytes) -> bytes:
    return cbor2.dumps(["Signature1", protected, b"", message])


@lru_cache(maxsize=4096)
def raw_address(address: str) -> bytes:
    """The bytes behind a bech32 address; ValueError when it is none."""
    found = unbech32(address)
    if found is None:
        raise ValueError("not a bech32 address")
    return found[1]


@lru_cache(maxsize=4096)
def is_address(text: str, network: str) -> bool:
    """True for a Shelley address (payment address of any kind) of ``network``."""
    found = unbech32(text)
    if found is None or not found[1]:
        return False
    prefix, payload = found
    kind, tag = payload[0] >> 4, payload[0] & 15
    mainnet = network == "Mainnet"
    if prefix != ("addr" if mainnet else "addr_test") or tag != (1 if mainnet else 0):
        return False
    if kind in (4, 5):  # pointer addresses have a tail of any length
        return len(payload) > 29
    return len(payload) == (57 if kind < 4 else 29) and kind < 8


@lru_cache(maxsize=4096)
def has_payment_key(address: str) -> bool:
    """True for a base or enterprise address whose payment part is a key (V2 wants those)."""
    found = unbech32(address)
    return found is not None and bool(found[1]) and found[1][0] >> 4 in (0, 2, 6)


@lru_cache(maxsize=20_000)
def verify(signature: str, key: str, message: bytes, address: str) -> bool:
    """True when the COSE_Sign1 signs exactly ``message`` by ``key`` for ``address``; never raises."""
    try:
        protected, _, payload, signed = cbor2.loads(bytes.fromhex(signature))
        header = cbor2.loads(protected)
        if payload != message or header["address"] != raw_address(address) or header[1] != -8:
            return False
        VerifyKey(cbor2.loads(bytes.fromhex(key))[-2]).verify(_to_sign(protected, message), signed)
    except (ValueError, KeyError, TypeError, IndexError, CryptoError, cbor2.CBORDecodeError):
        return False
    return True


@lru_cache(maxsize=4096)
def reads(signature: str) -> bool:
    """Whether this is a COSE_Sign1 at all; where it is none, the node's library throws."""
    try:
        protected, _, payload, signed = cbor2.loads(bytes.fromhex(signature))
        header = cbor2.loads(protected)
    except (ValueError, KeyError, TypeError, IndexError, cbor2.CBORDecodeError):
        return False
    return isinstance(header, dict) and isinstance(payload, bytes) and isinstance(signed, bytes)


@lru_cache(maxsize=4096)
def key_hash_of(key: str) -> str | None:
    """The payment key hash of a COSE_Key in hex, None when it does not read."""
    try:
        return key_hash(cbor2.loads(bytes.fromhex(key))[-2]).hex()
    except (ValueError, KeyError, TypeError, IndexError, cbor2.CBORDecodeError):
        return None
