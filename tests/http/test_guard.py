"""The rules of the address guard as tables: what is refused, what is not, and why."""

from __future__ import annotations

import pytest

from masumi_tools.errors import AddressRefused
from masumi_tools.net.guard import check_addresses, check_url

REFUSED_URLS = {
    "http://seller.example/": "is not https",
    "ftp://seller.example/": "is not https",
    "file:///etc/passwd": "names no host",
    "//seller.example/": "is not https",
    "seller.example": "names no host",
    "": "names no host",
    "https://": "names no host",
    "https:///path": "names no host",
    "https://user@seller.example/": "user name",
    "https://user:password@seller.example/": "user name",
    "https://seller.example:22/": "port 22",
    "https://seller.example:25/": "port 25",
    "https://seller.example:0/": "port 0",
    "https://seller.example:99999/": "port 99999",
    "https://2130706433/": "plainly written",
    "https://017700000001/": "plainly written",
    "https://0x7f000001/": "plainly written",
    "https://0x7f.0.0.1/": "plainly written",
    "https://0177.0.0.1/": "not an address",
    "https://127.1/": "plainly written",
    "https://127.0.1./": "plainly written",
    "https://8.8.8.8.8/": "plainly written",
    "https://exa mple.com/": "neither a host name",
    "https://seller.example%2f@127.0.0.1/": "user name",
    "https://%31%32%37.0.0.1/": "neither a host name",
    "https://seller..example/": "neither a host name",
    "https://-seller.example/": "neither a host name",
    "https://seller.example\n/": "not an address",
    "https://127.0.0.1/": "a loopback address",
    "https://0.0.0.0/": "an unspecified address",
    "https://10.1.2.3/": "a private address",
    "https://169.254.169.254/latest/meta-data/": "metadata",
    "https://[::1]/": "a loopback address",
    "https://[::]/": "not a public address",
    "https://[::ffff:127.0.0.1]/": "a loopback address inside",
    "https://[::ffff:a9fe:a9fe]/": "metadata address inside",
    "https://[64:ff9b::7f00:1]/": "a loopback address inside",
    "https://[2002:a00:1::]/": "a private address inside",
    "https://[2001:0:a00:1::f5ff:fffe]/": "a private address inside",
    "https://[fe80::1%25eth0]/": "",
    "https://[::1/": "not an address",
}


@pytest.mark.parametrize("url", REFUSED_URLS)
@pytest.mark.parametrize("sandbox", [False, True])
def test_a_url_that_we_do_not_connect_to_is_refused_with_its_reason(url: str, sandbox: bool) -> None:
    if sandbox and url in ("https://127.0.0.1/", "https://[::1]/"):
        return
    with pytest.raises(AddressRefused) as caught:
        check_url(url, sandbox=sandbox)
    assert REFUSED_URLS[url] in str(caught.value)
    assert "password" not in str(caught.value).replace("a user name or password", "")
    assert (caught.value.fault, caught.value.money) == ("service", "none")


@pytest.mark.parametrize(
    "url",
    [
        "https://seller.example/",
        "HTTPS://Seller.Example/agents/one",
        "https://seller.example:443/",
        "https://seller.example:1024/",
        "https://seller.example:65535/",
        "https://my_seller-1.example.com./",
        "https://xn--bcher-kva.example/",
        "https://bücher.example/",
        "https://0xseller.example/",
        "https://1.seller/",
        "https://93.184.215.14/",
        "https://[2606:2800:21f:cb07:6820:80da:af6b:8b2c]:8443/",
        "https://[64:ff9b::5db8:d70e]/",
        "https://[::ffff:93.184.215.14]/",
    ],
)
def test_https_to_what_may_be_public_is_allowed(url: str) -> None:
    check_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8000/services/echo",
        "http://127.0.0.1:1/services/echo",
        "http://127.8.9.1/",
        "http://localhost:8000/",
        "http://LOCALHOST/",
        "http://[::1]:8000/",
        "https://127.0.0.1/",
    ],
)
def test_loopback_is_allowed_in_the_sandbox_alone(url: str) -> None:
    check_url(url, sandbox=True)
    if not url.startswith("http://LOCALHOST"):
        with pytest.raises(AddressRefused):
            check_url(url)
            check_addresses("localhost", ["127.0.0.1"])


@pytest.mark.parametrize(
    "url",
    [
        "http://seller.example/",
        "http://93.184.215.14/",
        "http://10.0.0.1/",
        "http://0.0.0.0:8000/",
        "http://[::ffff:127.0.0.1]:8000/",
        "http://127.0.0.1.seller.example/",
        "http://localhost.seller.example/",
        "http://user@localhost:8000/",
        "https://192.168.1.1/",
        "https://seller.example:22/",
    ],
)
def test_the_sandbox_adds_nothing_but_loopback(url: str) -> None:
    with pytest.raises(AddressRefused):
        check_url(url, sandbox=True)


CLOSED = """
    0.0.0.0 0.1.2.3 10.0.0.1 10.255.255.255 100.64.0.1 100.100.100.200 100.127.255.255 127.0.0.1
    127.255.255.255 168.63.129.16 169.254.0.1 169.254.169.254 172.16.0.1 172.31.255.255 192.0.0.1
    192.0.0.192 192.0.2.1 192.88.99.1 192.168.0.1 198.18.0.1 198.19.255.255 198.51.100.1 203.0.113.1
    224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255 :: ::1 ::127.0.0.1 ::ffff:0.0.0.0
    ::ffff:10.0.0.1 ::ffff:127.0.0.1 ::ffff:169.254.169.254 ::ffff:0:127.0.0.1 64:ff9b::10.0.0.1
    64:ff9b::127.0.0.1 64:ff9b::169.254.169.254 64:ff9b:1::8.8.8.8 100::1 2001::1 2001:0:7f00:1::1
    2001:0:5db8:d70e::80ff:fffe 2001:2::1 2001:10::1 2001:20::1 2001:db8::1 2002:7f00:1::
    2002:a00:1::1 2002:a9fe:a9fe::1 3fff::1 4000::1 5f00::1 fc00::1 fd00:ec2::254 fe80::1
    fe80::1%eth0 2606:4700::1%eth0 fec0::1 ff02::1 ffff::1 nonsense 1.2.3 999.1.1.1
""".split()  # noqa: SIM905

OPEN = """
    1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0
    168.63.129.15 169.253.255.255 169.255.0.0 172.15.255.255 172.32.0.0 192.0.1.0 192.167.255.255
    192.169.0.0 198.17.255.255 198.20.0.0 223.255.255.255 ::ffff:8.8.8.8 64:ff9b::8.8.8.8
    2002:808:808::1 2000::1 2001:200::1 2001:db9::1 2001:4860:4860::8888 2606:4700:4700::1111
    2a00::1 3ffe::1 2001:0:808:808::f7f7:f7f7
""".split()  # noqa: SIM905


@pytest.mark.parametrize("address", CLOSED)
def test_an_address_that_is_not_public_is_refused(address: str) -> None:
    with pytest.raises(AddressRefused):
        check_addresses("seller.example", [address])
    with pytest.raises(AddressRefused):
        check_addresses("seller.example", ["8.8.8.8", address])


@pytest.mark.parametrize("address", OPEN)
def test_a_public_address_is_allowed(address: str) -> None:
    check_addresses("seller.example", [address])
    check_addresses("seller.example", ["8.8.8.8", address], sandbox=True)


@pytest.mark.parametrize("address", [one for one in CLOSED if not one.startswith("127.") and one != "::1"])
def test_no_other_closed_address_is_opened_by_the_sandbox(address: str) -> None:
    with pytest.raises(AddressRefused):
        check_addresses("seller.example", ["127.0.0.1", address], sandbox=True)


def test_localhost_must_lead_to_loopback() -> None:
    check_addresses("localhost", ["127.0.0.1", "::1"], sandbox=True)
    with pytest.raises(AddressRefused, match="not this machine"):
        check_addresses("localhost", ["127.0.0.1", "8.8.8.8"], sandbox=True)
