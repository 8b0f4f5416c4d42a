"""Which addresses may be called: public and private, IPv4 and IPv6."""

import pytest

from app.contracts.addresses import may_call, parse_address

PUBLIC = (
    "1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 172.15.0.1 "
    "172.32.0.1 192.0.1.1 192.167.1.1 198.17.1.1 198.20.1.1 223.255.255.255 "
    "2001:200::1 2606:4700:4700::1111 2a00:1450:4001:81b::200e 64:ff9b::8.8.8.8"
)
PRIVATE = (
    "10.0.0.1 10.255.255.255 100.64.0.1 100.127.255.255 127.0.0.1 127.255.0.1 172.16.0.1 "
    "172.31.255.255 192.168.0.1 ::1 fc00::1 fd12:3456::1"
)
NEVER = (
    # this network, link-local and credentials, protocol assignments, documentation, benchmarks
    "0.0.0.0 0.1.2.3 169.254.0.1 169.254.169.254 168.63.129.16 100.100.100.200 192.0.0.192 "
    "192.0.0.1 192.0.2.1 192.88.99.1 198.18.0.1 198.19.255.255 198.51.100.1 203.0.113.1 "
    # multicast, reserved, broadcast
    "224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255 "
    # unspecified, mapped, compatible, translated, discard
    ":: ::ffff:127.0.0.1 ::ffff:8.8.8.8 ::ffff:169.254.169.254 ::127.0.0.1 "
    "64:ff9b::127.0.0.1 64:ff9b::10.0.0.1 64:ff9b::169.254.169.254 64:ff9b:1::8.8.8.8 100::1 "
    # Teredo, benchmarks, ORCHID, documentation, 6to4 of 127.0.0.1 and of 8.8.8.8
    "2001::1 2001:2::1 2001:10::1 2001:20::1 2001:db8::1 3fff::1 2002:7f00:1::1 2002:808:808::1 "
    # link-local, site-local, multicast, credentials
    "fe80::1 fe80::1%eth0 febf::1 fec0::1 ff02::1 ff0e::1 fd00:ec2::254 fd20:ce::254"
)


def is_allowed(text: str, *, are_private_allowed: bool) -> bool:
    address = parse_address(text)
    assert address is not None
    return may_call(address, are_private_allowed=are_private_allowed)


@pytest.mark.parametrize("text", PUBLIC.split())
def test_public_addresses_may_be_called(text: str) -> None:
    assert is_allowed(text, are_private_allowed=False)
    assert is_allowed(text, are_private_allowed=True)


@pytest.mark.parametrize("text", PRIVATE.split())
def test_private_addresses_may_be_called_where_a_setting_says_so(text: str) -> None:
    assert not is_allowed(text, are_private_allowed=False)
    assert is_allowed(text, are_private_allowed=True)


@pytest.mark.parametrize("text", NEVER.split())
def test_other_addresses_may_never_be_called(text: str) -> None:
    assert not is_allowed(text, are_private_allowed=False)
    assert not is_allowed(text, are_private_allowed=True)


def test_names_are_not_addresses() -> None:
    assert parse_address("example.com") is None
    assert str(parse_address("[2001:db8::1]")) == "2001:db8::1"
