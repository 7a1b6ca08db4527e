"""Throw-away Ed25519 keys, Cardano addresses and the CIP-8 signatures that real nodes put into an identifier."""

from __future__ import annotations

import hashlib
from functools import lru_cache

import cbor2
from nacl.exceptions import BadSignatureError
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


def _regroup(data: bytes | list[int], wide: int, narrow: int, pad: bool) -> list[int] | None:
    held, bits, out = 0, 0, []
    for value in data:
        held = held << wide | value
        bits += wide
        while bits >= narrow:
            bits -= narrow
            out.append(held >> bits & (1 << narrow) - 1)
        held &= (1 << bits) - 1
    if pad and bits:
        out.append(held << narrow - bits & (1 << narrow) - 1)
    elif not pad and (bits >= wide or held):
        return None
    return out


def bech32(prefix: str, payload: bytes) -> str:
    """The bech32 text of a Cardano address; longer than BIP-173 allows, as Cardano does."""
    data = _regroup(payload, 8, 5, True)
    assert data is not None
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
    payload = _regroup(data[:-6], 5, 8, False)
    return None if payload is None else (prefix, bytes(payload))


class Signer:
    """A key made from 32 random bytes. ``address`` and ``vkey`` default to its own and may name a foreign wallet."""

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

    def sign(self, message: str, address: str) -> tuple[str, str]:
        """CIP-8 signature of ``message``: (COSE_Sign1 hex, COSE_Key hex); the header names ``address``."""
        raw = _raw_address(address)
        protected = cbor2.dumps({1: -8, "address": raw})
        payload = message.encode()
        to_sign = cbor2.dumps(["Signature1", protected, b"", payload])
        signature = self._key.sign(to_sign).signature
        cose = cbor2.dumps([protected, {"hashed": False}, payload, signature])
        key = cbor2.dumps({1: 1, 3: -8, -1: 6, -2: self.public_key})
        return cose.hex(), key.hex()


def _raw_address(address: str) -> bytes:
    found = unbech32(address)
    if found is None:
        raise ValueError("not a bech32 address")
    return found[1]


@lru_cache(maxsize=20_000)
def verify(signature: str, key: str, message: str, address: str) -> bool:
    """True when the COSE_Sign1 signs exactly ``message`` by ``key`` for ``address``; never raises."""
    try:
        protected, _, payload, signed = cbor2.loads(bytes.fromhex(signature))
        cose_key = cbor2.loads(bytes.fromhex(key))
        header = cbor2.loads(protected)
        if payload != message.encode() or header["address"] != _raw_address(address) or header[1] != -8:
            return False
        public_key = cose_key[-2]
        VerifyKey(public_key).verify(cbor2.dumps(["Signature1", protected, b"", payload]), signed)
    except (ValueError, KeyError, TypeError, IndexError, BadSignatureError, cbor2.CBORDecodeError):
        return False
    return True


def key_hash_of(key: str) -> str | None:
    """The payment key hash of a COSE_Key in hex, None when it does not read."""
    try:
        public_key = cbor2.loads(bytes.fromhex(key))[-2]
        return key_hash(public_key).hex()
    except (ValueError, KeyError, TypeError, IndexError, cbor2.CBORDecodeError):
        return None
