"""Who may call: peers of the settings, from the addresses that they are known to have."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Mapping
from typing import Any

from jcs_ct.pacs.settings import Callers, PacsSettings, Peer

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class AccessList:
    """Decides on calls by address, and by AE title and address together."""

    def __init__(self, settings: PacsSettings) -> None:
        self._settings = settings

    def admits_address(self, address: str) -> bool:
        """Whether anybody may call from there."""
        if self._settings.node.callers is Callers.ANYONE or _address(address).is_loopback:
            return True
        return any(_calls_from(peer, address) for peer in self._settings.peers)

    def admits(self, ae_title: str, address: str) -> bool:
        """Whether this caller may call from there; on this machine, our own AE title may, to ask for a sign of life."""
        if self._settings.node.callers is Callers.ANYONE:
            return True
        peer = self._settings.caller(ae_title)
        if peer is None:
            return self.is_own(ae_title) and _address(address).is_loopback
        return _calls_from(peer, address)

    def certificate_fits(self, ae_title: str, address: str, certificate: Mapping[str, Any] | None) -> bool:
        """Whether a caller's certificate speaks for its AE title.

        Args:
            ae_title: Of the caller.
            address: Of the caller.
            certificate: As `SSLSocket.getpeercert` gives it; None where none is asked for.
        """
        peer = self._settings.caller(ae_title)
        tls = self._settings.tls
        if peer is None or tls is None or not tls.client_certificates:
            return True
        stated = _names_in(certificate or {})
        if peer.certificate_names:
            return bool({name.casefold() for name in peer.certificate_names} & stated)
        if not any(_calls_from(other, address) for other in self._settings.peers if other != peer):
            return True  # nobody else's certificate comes from there
        return bool({name.casefold() for name in (peer.ae_title, peer.host, peer.tls_name) if name} & stated)

    def is_own(self, ae_title: str) -> bool:
        """Whether the node is calling itself, which is for C-ECHO only."""
        return ae_title == self._settings.node.ae_title and self._settings.caller(ae_title) is None


def _names_in(certificate: Mapping[str, Any]) -> set[str]:
    names = {str(value) for _, value in certificate.get("subjectAltName", ())}
    for relative in certificate.get("subject", ()):
        names |= {str(value) for key, value in relative if key == "commonName"}
    return {name.casefold() for name in names}


def _calls_from(peer: Peer, address: str) -> bool:
    return any(_address(address) in network for network in _networks(peer))


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    found = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        return found.ipv4_mapped
    return found


def _networks(peer: Peer) -> list[_Network]:
    """Networks of a peer; names are resolved at each call, as containers and DHCP change them."""
    if peer.addresses:
        return [ipaddress.ip_network(each) for each in peer.addresses]
    if not peer.host:
        return []
    try:
        found = socket.getaddrinfo(peer.host, None, type=socket.SOCK_STREAM)
    except OSError:
        return []
    return [ipaddress.ip_network(str(entry[4][0]).partition("%")[0]) for entry in found]
