"""LZ-string compression in the byte form that identifiers use: 16-bit units, big-endian.

Written after the behaviour of the JavaScript library that the node uses, broken input included.
"""

from __future__ import annotations

_REVERSED_8 = [f"{n:08b}"[::-1] for n in range(256)]


def compress(text: str) -> bytes:
    """``compressToUint8Array(text)``; ``text`` is taken as UTF-16 code units (plain ASCII in identifiers)."""
    codes: dict[str, int] = {}
    fresh: set[str] = set()
    out: list[str] = []
    width, room, held = 2, 2, ""

    def emit(word: str) -> None:
        nonlocal width, room
        if word in fresh:
            fresh.discard(word)
            point = ord(word)
            out.append("0" * width if point < 256 else "1" + "0" * (width - 1))
            out.append(_REVERSED_8[point] if point < 256 else f"{point:016b}"[::-1])
            room -= 1
            if room == 0:
                room, width = 1 << width, width + 1
        else:
            out.append(f"{codes[word]:0{width}b}"[::-1])
        room -= 1
        if room == 0:
            room, width = 1 << width, width + 1

    next_code = 3
    for char in text:
        if char not in codes:
            codes[char] = next_code
            next_code += 1
            fresh.add(char)
        grown = held + char
        if grown in codes:
            held = grown
            continue
        emit(held)
        codes[grown] = next_code
        next_code += 1
        held = char
    if held:
        emit(held)
    out.append(f"{2:0{width}b}"[::-1])
    bits = "".join(out)
    bits += "0" * (16 - len(bits) % 16)
    return int(bits, 2).to_bytes(len(bits) // 8, "big")


def decompress(data: bytes) -> str | None:
    """``decompressFromUint8Array(data)``: the text; ``""`` when the data end early, None when they are none.

    ValueError where the JavaScript library throws (an odd number of bytes: ``Invalid array length``).
    """
    if len(data) % 2:
        raise ValueError("Invalid array length")
    if not data:
        return None
    total = len(data) * 8
    bits = f"{int.from_bytes(data, 'big'):0{total}b}"
    place = 0

    def read(count: int) -> int:
        nonlocal place
        piece = bits[place : place + count]
        place += count
        return int(piece[::-1], 2) if piece else 0

    first = read(2)
    if first == 2:
        return ""
    lost = first == 3  # the library goes on with an undefined first word, "undefined" when joined to text
    held = "undefined" if lost else chr(read(8 if first == 0 else 16))
    words: list[str] = ["", "", "", "" if lost else held]
    result = [words[3]]
    width, room = 3, 4
    while place < total:
        code = read(width)
        if code == 2:
            return "".join(result)
        if code < 2:
            words.append(chr(read(8 if code == 0 else 16)))
            code = len(words) - 1
            room -= 1
            if room == 0:
                room, width = 1 << width, width + 1
        if code < len(words) and words[code]:
            word = words[code]
        elif code == len(words) and lost:
            raise ValueError("no first word")
        elif code == len(words):
            word = held + held[0]
        else:
            return None
        result.append(word)
        words.append(held + word[0])
        room -= 1
        held, lost = word, False
        if room == 0:
            room, width = 1 << width, width + 1
    return ""
