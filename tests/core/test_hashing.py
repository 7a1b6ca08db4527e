"""Hashes of MIP-004: the measured vectors of every known implementation, and what must not be hashed."""

from __future__ import annotations

import json
from enum import Enum, IntEnum
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from masumi_tools.errors import InputError
from masumi_tools.proof.hashing import (
    check_hashable,
    input_candidates,
    input_hash,
    normalise,
    output_candidates,
    output_hash,
    which,
)

ID = "a1b2c3d4e5f60718293a"
JCS, CJ, JS, ARRAY, SORTED, BARE = (
    "jcs",
    "canonicaljson",
    "canonical-json",
    "array",
    "array-sorted",
    "no-separator",
)

# Inputs as JSON text, the hash each implementation gave when it was run, and the forms that have it.
INPUTS: list[tuple[str, str, set[str]]] = [
    (
        '{"text":"hello","n":3,"b":true,"z":null}',
        "fba6158a8aed8e6432e2c124a84a3019ec5a0f7cde58a8d4ec128f21e549ede4",
        {JCS, CJ, JS},
    ),
    ('{"text":"hello"}', "055df4155dd80081ed73f17a11b0141e88a24603d0ea27364a2dce21a21b9ae8", {JCS, CJ, JS}),
    ('{"text":"hello"}', "753c98ac4d12f5b993e01be825fa4d63a0af7aa95ec7741c7dc4857b588bc7fe", {ARRAY, SORTED}),
    ('{"text":"hello"}', "3e7e86e5e2a209a11e91d9a72bc855848e28e239d277b7dd23b85a40b1990b91", {BARE}),
    ("{}", "afeef23b0a570d43fc88f2243db88823cad363279d7ea0efb36353e9d970b200", {JCS, CJ, JS}),
    ('{"n":3.0}', "bfe7c477d2712f4a3f2e7587f0d09ee945ae89ca89b37c470ca8b6ae856631d0", {JCS, JS}),
    ('{"n":3.0}', "32ede3810e90eeba8401d450453942f41ba74a30396eca094336b3fdc26eebc6", {CJ}),
    ('{"n":0.00001}', "0ed86025c217c4502ec7d5b089e7568bae16c5edffd36d818f950ad4cff49d05", {JCS, JS}),
    ('{"n":0.00001}', "f3d6c2c9f01b02589511033bc74a715d98f226c5e6dc467e3d66699f218bd0b9", {CJ}),
    ('{"n":1e-7}', "c2cc166fc57ca5c92cedecb29cced77732a6a71b216fb8047d77108c8a35733e", {JCS, JS}),
    ('{"n":1e-7}', "16043ae11e8563674ba18fb5560e2c63dacc4ac57f50a34c129aff03e9c465d9", {CJ}),
    ('{"a":1e16,"b":1e21}', "db4dd5f69a19d60a74b36d27b1f669134498c523418285477b77c7206b61efdd", {JCS, JS}),
    ('{"a":1e16,"b":1e21}', "ac45d69011019ed5ad12d93d262c8e012b4ccd65aca7af32329fd66c9ce677ff", {CJ}),
    ('{"n":-0.0}', "ce939afc1d1e19a27cb4c56c633690dc12a3189545da7120067d95bf609ec66b", {JCS, JS}),
    ('{"n":-0.0}', "3bd32d383f560abbac65563cdc70302c159df22d672450ab2305787040d7b5ae", {CJ}),
    (
        '{"\\ud83d\\ude00":1,"\\ufb33":2}',
        "af4ed799f7d6c0b517f584eb66cd917e4709a51d3ec864faf4eb1354c4877158",
        {JCS, JS},
    ),
    (
        '{"\\ud83d\\ude00":1,"\\ufb33":2}',
        "cd8189525074998115132590a2ec3568bdc357c5ab9aea7ea0b83b1de51f6feb",
        {CJ},
    ),
    ('{"10":1,"9":2}', "44016d3300fd3242bef298109c1f391cf15221dadfdf628731f861a7226796f2", {JCS, CJ}),
    ('{"10":1,"9":2}', "11b5d6b1b513163fcc68876ec6279d25bda6713fd7cc64d483a495db3356ad8c", {JS}),
    ('{"s":"a\\u2028b"}', "c9e528f3d909b226ded31287ae92683a8eb5b2387fcaaf1068a4ade64b422cee", {JCS, CJ, JS}),
    # canonical-json 0.2.0 escapes U+2028 and U+007F; no known seller uses it, so its hash is nobody's.
    ('{"s":"a\\u2028b"}', "e2b6ea78bb08be6c29578da34295f84cad697dd2e4c46499ac2803282d23c9b2", set()),
    ('{"s":"e\\u0301"}', "26dfef61cd8edf9acce879326515b1485dd514cc4f0d1df7ec90217bf9e75b0d", {JCS, CJ, JS}),
    (
        '{"b":[3,1,2],"a":{"d":1,"c":2}}',
        "7058cdb12a7b7227278700929cd85ca444a9973c6a6e5e49727f402624b41a9c",
        {JCS, CJ, JS},
    ),
]

OUTPUTS: list[tuple[str, str, str, str]] = [
    (ID, "plain", "ca8efa8cd69f0f809840da4f1ce984d4575f631b3d3b11bc6036b13f48e71509", "same"),
    (
        ID,
        "line1\nline2",
        "04652568f02d4d2926fe5fe29a88822fe0d4ec14b9a2635b1c01ff23ab027bdb",
        "c3d3a4eab5aa870c5a8e77d66d721d47607af5bc9f17cc82c4a50d6b2ca2f2b2",
    ),
    (
        ID,
        'tab\t"quoted" back\\slash',
        "8c421588c24b63e90dc85c9322fa070a5e828f405f2e23f2307381c51fa436ee",
        "d6905c58bd8c4bd9917ed2c04d9ee53d0f2e2b8fc4260b5c9e3633ea0e6443e9",
    ),
    (
        ID,
        "\x7f\x08\x1f",
        "b2167b8a3b61adb7c23a467545f60794bd3fc48d12800b3756a3b5066b485259",
        "36e89bcbb830dd21f73e3794d336e12a16fcc7bccf4f0536db652c5b19d51315",
    ),
    (ID, "[object Object]", "a7b94d17bf5fba5172204dfa60f2d71c400367d608556c3f7f5286a64954789f", "same"),
    (
        "01234567890123456789",
        'line\n"next"\\end',
        "36767ae2635033ebfa81d977b51a72b9d9ea541c73c9c7e6f55302543ba97db3",
        "7274791448dbdd3200d56594716830eec96cc7e4929e90a1f5d005dbbd3c1dcd",
    ),
]

json_texts = st.text(st.characters(codec="utf-8"))
ordinary = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | json_texts,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.from_regex(r"[A-Za-z_]{1,8}", fullmatch=True), inner, max_size=4)
    ),
    max_leaves=15,
)
anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary(max_size=3)
    | st.complex_numbers()
    | st.just(object()),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=3) | st.integers() | st.none(), inner, max_size=3)
    ),
    max_leaves=12,
)


@pytest.mark.parametrize(("text", "hashed", "forms"), INPUTS)
def test_input_vectors(text: str, hashed: str, forms: set[str]) -> None:
    candidates = input_candidates(ID, json.loads(text))
    assert {name for name, value in candidates.items() if value == hashed} == forms
    assert which(candidates, hashed) == next((name for name in candidates if name in forms), None)
    assert (input_hash(ID, json.loads(text)) == hashed) == (JCS in forms)


def test_the_hash_of_nothing() -> None:
    assert input_hash(ID, None).startswith("bb17b658") and input_hash(ID, None).endswith("1dd")


@pytest.mark.parametrize(
    ("value", "field", "says"),
    [
        ({"n": 9007199254740993}, "n", "send it as text"),
        ({"n": -(2**53)}, "n", "send it as text"),
        ({"s": "\ud800"}, "s", "lone surrogate"),
        ({"\udc00": 1}, "", "lone surrogate"),
        ({"a": [1, {"b": float("nan")}]}, "a", "finite"),
        ({"a": float("inf")}, "a", "finite"),
        ({1: "x"}, "", "keys must be text"),
        ({"a": {None: 1}}, "a", "keys must be text"),
        ({"a": b"bytes"}, "a", "not JSON"),
        ({"a": {1, 2}}, "a", "not JSON"),
        (object(), "", "not JSON"),
    ],
)
def test_refuses_what_sellers_would_hash_differently(value: object, field: str, says: str) -> None:
    for refused in (
        check_hashable,
        normalise,
        lambda v: input_candidates(ID, v),
        lambda v: input_hash(ID, v),
    ):
        with pytest.raises(InputError, match=says) as caught:
            refused(value)
        assert list(caught.value.field_errors) == [field]
        assert caught.value.money == "none"


def test_the_place_of_the_mistake_is_named() -> None:
    with pytest.raises(InputError, match=r"^input\.a\.1\.b is not a finite number\.$"):
        check_hashable({"a": [1, {"b": float("nan")}]})


def test_the_largest_whole_number_that_all_read_alike_passes() -> None:
    assert normalise({"n": 2**53 - 1, "m": -(2**53) + 1}) == {"n": 2**53 - 1, "m": -(2**53) + 1}


def nested(levels: int) -> Any:
    value: Any = "x"
    for level in range(levels):
        value = [value] if level % 2 else {"a": value}
    return value


def test_nesting_is_bounded() -> None:
    check_hashable(nested(64))
    assert len(input_candidates(ID, nested(64))) == 4
    for levels in (65, 100_000):
        with pytest.raises(InputError, match="64 levels"):
            check_hashable(nested(levels))
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(InputError, match="64 levels"):
        check_hashable(endless)


def test_normalise_folds_whole_floats_only() -> None:
    folded = normalise({"a": 3.0, "b": -0.0, "c": 1.5, "d": 1e16, "e": (1.0, True), "f": "3.0", "g": -7.0})
    assert json.dumps(folded) == '{"a": 3, "b": 0, "c": 1.5, "d": 1e+16, "e": [1, true], "f": "3.0", "g": -7}'


def test_subclasses_count_as_their_plain_value() -> None:
    class Word(str, Enum):  # noqa: UP042 - its str() is not its value, unlike that of StrEnum
        HELLO = "hello"

    class Number(IntEnum):
        THREE = 3

    value = {Word.HELLO: [Number.THREE, Word.HELLO]}
    plain: Any = normalise(value)
    assert plain == {"hello": [3, "hello"]}
    assert [type(part) for part in (next(iter(plain)), *plain["hello"])] == [str, int, str]
    assert input_candidates(ID, value) == input_candidates(ID, {"hello": [3, "hello"]})


def test_key_order_of_javascript_reaches_inside() -> None:
    plain = {"b": [{"10": 1, "9": 2, "a": 3, "01": 4}], "4294967295": 5, "4294967294": 6, "!": 7}
    text = '{"4294967294":6,"!":7,"4294967295":5,"b":[{"9":2,"10":1,"01":4,"a":3}]}'
    assert input_candidates(ID, plain)[JS] == sha256(f"{ID};{text}".encode()).hexdigest()


def test_array_form_keeps_or_sorts_the_order_sent() -> None:
    one, other = input_candidates(ID, {"b": 1, "a": 2}), input_candidates(ID, {"a": 2, "b": 1})
    assert one[SORTED] == other[SORTED] == other[ARRAY] != one[ARRAY]
    assert other[ARRAY] == input_hash(ID, [{"key": "a", "value": 2}, {"key": "b", "value": 1}])


def test_input_that_is_one_text_may_be_hashed_unquoted() -> None:
    candidates = input_candidates(ID, "plain")
    assert candidates["text"] == output_candidates(ID, "plain")["raw"]
    assert ARRAY not in candidates and candidates[JCS] != candidates["text"]


@given(ordinary)
def test_ordinary_input_has_one_hash_in_every_object_form(value: Any) -> None:
    candidates = input_candidates(ID, value)
    assert candidates[JCS] == candidates[CJ] == candidates[JS] == input_hash(ID, value)


@given(anything)
def test_whatever_is_given_is_hashed_or_refused_by_an_input_error(value: Any) -> None:
    try:
        check_hashable(value)
    except InputError as error:
        assert len(str(error)) < 400
        with pytest.raises(InputError):
            normalise(value)
        with pytest.raises(InputError):
            input_candidates(ID, value)
        return
    folded = normalise(value)
    assert normalise(folded) == folded
    assert input_hash(ID, folded) == input_hash(ID, value)
    assert json.loads(json.dumps(folded)) == folded
    assert all(len(found) == 64 for found in input_candidates(ID, value).values())


@pytest.mark.parametrize(("purchaser", "output", "escaped", "raw"), OUTPUTS)
def test_output_vectors(purchaser: str, output: str, escaped: str, raw: str) -> None:
    raw = escaped if raw == "same" else raw
    assert output_candidates(purchaser, output) == {"escaped": escaped, "raw": raw}
    assert output_hash(purchaser, output) == escaped


@pytest.mark.parametrize("output", ["", "ünï 😀", "a\u2028b", "<b>/</b>"])
def test_output_without_escapes_has_one_hash(output: str) -> None:
    assert len(set(output_candidates(ID, output).values())) == 1


def test_output_is_hashed_exactly() -> None:
    assert len({output_hash(ID, text) for text in ("a", "a ", " a", "a\n", "A")}) == 5
    assert output_hash(ID, "a") != output_hash(ID[:-1] + "b", "a")


def test_long_output_has_the_forms_of_sellers_that_cut_at_64() -> None:
    text = "line\n" * 20
    candidates = output_candidates(ID, text)
    assert candidates["escaped-first-64"] == output_hash(ID, text[:64])
    assert candidates["raw-first-64"] == output_candidates(ID, text[:64])["raw"]
    assert which(candidates, candidates["raw-first-64"]) == "raw-first-64"
    assert list(output_candidates(ID, "x" * 64)) == ["escaped", "raw"]


def test_output_with_lone_surrogates_hashes_as_javascript_does() -> None:
    assert output_hash(ID, "a\ud800b") == output_candidates(ID, "a\\ud800b")["raw"]
    assert output_candidates(ID, "a\ud800b")["raw"] == output_candidates(ID, "a\ufffdb")["raw"]
    assert output_candidates(ID, "\ud83d\ude00") == output_candidates(ID, "\U0001f600")


@given(st.text(st.characters(), max_size=100))
def test_any_output_has_its_candidates(output: str) -> None:
    candidates = output_candidates(ID, output)
    assert output_hash(ID, output) == candidates["escaped"]
    if json.dumps(output, ensure_ascii=False)[1:-1] == output and not any(
        "\ud800" <= c <= "\udfff" for c in output
    ):
        assert candidates["raw"] == candidates["escaped"]


def test_which_knows_letter_case_and_nothing_else() -> None:
    candidates = output_candidates(ID, "a\nb")
    assert which(candidates, candidates["raw"].upper()) == "raw"
    assert which(candidates, candidates["raw"][:-1]) is None
    assert which(candidates, "") is None
    assert which(candidates, None) is None


def test_an_identifier_that_is_no_text_is_an_input_error() -> None:
    with pytest.raises(InputError, match="lone surrogate"):
        input_hash("\ud800", {})
    with pytest.raises(InputError, match="lone surrogate"):
        output_hash("\ud800", "x")


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("raw-jcs", '{"a":[1,2],"b":"ü"}'),
        ("raw-compact", '{"b":"ü","a":[1,2]}'),
        ("raw-ascii", '{"b": "\\u00fc", "a": [1, 2]}'),
        ("escaped-jcs", '{\\"a\\":[1,2],\\"b\\":\\"ü\\"}'),
    ],
)
def test_a_json_output_is_also_known_by_its_other_texts(form: str, text: str) -> None:
    found = output_candidates("ab" * 10, '{"b": "ü", "a": [1, 2]}')

    assert found[form] == sha256(f"{'ab' * 10};{text}".encode()).hexdigest()


@pytest.mark.parametrize("output", ["{not json", "[1, 2", "plain", "", '{"n": 9007199254740993}', "[" * 5000])
def test_an_output_that_is_no_json_has_no_json_forms(output: str) -> None:
    assert not [form for form in output_candidates("ab" * 10, output) if "jcs" in form or "ascii" in form]
