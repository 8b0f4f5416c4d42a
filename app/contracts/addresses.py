"""Which IP addresses the service may call when a user names the host.

The lists are explicit because `ipaddress.is_global` differs between versions of Python and accepts
multicast and 6to4 addresses. The API checks addresses in URLs, the worker those that a host name
resolves to.
"""

from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


def parse_address(text: str) -> Address | None:
    """Return the address in a URL's host, with or without brackets; None for a name."""
    try:
        return ip_address(text.removeprefix("[").removesuffix("]"))
    except ValueError:
        return None


def may_call(address: Address, *, are_private_allowed: bool = False) -> bool:
    """Return whether ``address`` is public, or private where private ones are allowed."""
    if _is_in(address, _CREDENTIALS):
        return False
    if are_private_allowed and _is_in(address, _PRIVATE):
        return True
    if isinstance(address, IPv4Address):
        return not _is_in(address, _NOT_PUBLIC)
    if address in _NAT64:  # a translator would call the IPv4 address in the last four bytes
        return may_call(IPv4Address(address.packed[-4:]))
    return address in _GLOBAL_UNICAST and not _is_in(address, _NOT_PUBLIC)


def _is_in(address: Address, networks: tuple[Network, ...]) -> bool:
    return any(address in network for network in networks)


def _networks(text: str) -> tuple[Network, ...]:
    return tuple(ip_network(word) for word in text.split())


# Endpoints where clouds serve credentials (AWS, Azure, Google, Alibaba, Oracle): never allowed, not
# even as private addresses.
_CREDENTIALS = _networks(
    "169.254.0.0/16 168.63.129.16 100.100.100.200 192.0.0.192 fd00:ec2::/32 fd20:ce::254"
)
_PRIVATE = _networks(
    "10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 172.16.0.0/12 192.168.0.0/16 ::1 fc00::/7"
)
# IANA's special-purpose registries, multicast, and 6to4 and Teredo, which hide an IPv4 address.
_NOT_PUBLIC = _networks(
    "0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 "
    "192.0.2.0/24 192.88.99.0/24 192.168.0.0/16 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 "
    "224.0.0.0/4 240.0.0.0/4 2001::/23 2001:db8::/32 2002::/16 3fff::/20"
)
# The only public IPv6 range; mapped, local, link-local and multicast addresses lie outside.
_GLOBAL_UNICAST = IPv6Network("2000::/3")
_NAT64 = IPv6Network("64:ff9b::/96")
