"""Whom to hire: spellings that reach the same service are one Target, and all others are two."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from masumi_tools.errors import InputError
from masumi_tools.target import Target, is_target, targets

AGENT = "7e8bdaf2b2b919a3a4b94002cafb50086c0c845fe535d07a77ab7f77" + "ab" * 20


@pytest.mark.parametrize(
    "spelling",
    [
        "https://seller.example/t/Up",
        "https://seller.example/t/Up/",
        "https://seller.example/t/Up//",
        "HTTPS://Seller.EXAMPLE/t/Up",
        "https://seller.example:443/t/Up",
        "https://seller.example:/t/Up",
        "https://seller.example:0443/t/Up",
        "https://seller.example./t/Up",
        "https://seller.example//t//Up",
        "https://seller.example/./t/Up",
        "https://seller.example/t/x/../Up",
        "https://seller.example/t/%55p",
        "https://seller.example/t/%2e/Up",
        "https://seller.example/../t/Up",
        "  https://seller.example/t/Up\n",
    ],
)
def test_spellings_of_one_service_are_one_target(spelling):
    assert str(Target.read(spelling)) == "https://seller.example/t/Up"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("https://seller.example/t/Ab", "https://seller.example/t/ab"),
        ("https://seller.example/up", "https://seller.example:8443/up"),
        ("https://seller.example/up", "http://seller.example/up"),
        ("https://seller.example/up", "https://seller.example/up2"),
        ("https://seller.example/a", "https://b.seller.example/a"),
    ],
)
def test_other_services_are_other_targets(one, other):
    assert Target.read(one) != Target.read(other)


@pytest.mark.parametrize(
    ("given_", "canonical"),
    [
        ("https://münchen.example/ä", "https://xn--mnchen-3ya.example/%C3%A4"),
        ("https://XN--MNCHEN-3YA.example/%c3%a4", "https://xn--mnchen-3ya.example/%C3%A4"),
        ("http://[::1]:8000/up", "http://[::1]:8000/up"),
        ("http://[0:0::1]:8000/up", "http://[::1]:8000/up"),
        ("https://[::ffff:1.2.3.4]/up", "https://1.2.3.4/up"),
        ("https://seller.example/a b", "https://seller.example/a%20b"),
        ("https://seller.example/%40me%21", "https://seller.example/@me!"),
        ("https://seller.example", "https://seller.example"),
        (AGENT.upper(), AGENT),
    ],
)
def test_the_canonical_spelling(given_, canonical):
    assert str(Target.read(given_)) == canonical
    assert Target.read(canonical) == Target.read(given_)


@pytest.mark.parametrize(
    "given_",
    [
        "",
        "echo",
        AGENT[:40],
        "ftp://seller.example/up",
        "https://",
        "https:///up",
        "https://seller.example/up?x=1",
        "https://seller.example/up#x",
        "https://me:secret@seller.example/up",
        "https://seller.example /a",
        "https://seller.example/a\u00a0b",
        "https://seller.example\\@other.example/up",
        "https://seller.example/a\x00b",
        "https://seller.example/a\ud800",
        "https://seller.example/a%2Fb",
        "https://seller.example/a%2575p",
        "https://seller.example/up;a=1",
        "https://seller.example/%zz",
        "https://seller.example/%ff",
        "https://seller.example:0/up",
        "https://seller.example:70000/up",
        "https://seller.example:8o/up",
        "https://xn--0/up",
        "https://127.1/up",
        "https://0x7f000001/up",
        "https://2130706433/up",
        "https://[fe80::1%25eth0]/up",
        "https://-a.example/up",
        "https://seller.example/" + "a" * 600,
    ],
)
def test_what_is_no_target_is_refused_in_words_without_a_secret(given_):
    with pytest.raises(InputError) as caught:
        Target.read(given_)

    assert "secret" not in str(caught.value)
    assert Target.kept(given_) == Target.kept(given_)  # a record that holds it is still read


@given(st.text(max_size=60))
def test_reading_gives_a_target_that_reads_as_itself_or_an_input_error(text):
    for given_ in (text, f"https://seller.example/{text}", f"https://{text}/up"):
        try:
            found = Target.read(given_)
        except InputError:
            continue
        assert Target.read(str(found)) == found


def test_a_list_says_which_entry_matches_nothing():
    with pytest.raises(InputError, match=r"deny would match no service: 'Echo' is neither"):
        targets(["Echo"], "deny")
    with pytest.raises(InputError, match=r"write allow=\['https://seller.example'\]"):
        targets("https://seller.example", "allow")
    assert targets([AGENT.upper()], "allow") == {Target(AGENT)}


def test_a_name_is_no_target():
    assert not is_target("echo")
    assert is_target("HTTPS://x.example") and is_target(AGENT)
