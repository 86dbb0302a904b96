"""What can be chosen of the service."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Self

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

GIB = 1024**3


class ServiceSettings(BaseSettings):
    """Settings of the service; each can be given as an environment variable, JCS_SERVE_PORT for `port`."""

    model_config = SettingsConfigDict(env_prefix="JCS_SERVE_", frozen=True, extra="forbid")

    store: Path
    """Folder of the queue and of all that belongs to its jobs; on a local disk."""
    host: str = "127.0.0.1"
    """Address to listen on; another than loopback needs users."""
    port: int = Field(default=8787, ge=0, le=65535)
    users: Path | None = None
    """File of users, as `jcs user add` writes it; without one nobody logs in, on loopback only."""
    breached_passwords: Path | None = None
    """Sorted SHA-1 sums of passwords that nobody may choose; see `BreachedPasswords`."""
    certificate: Path | None = None
    """TLS: the chain, PEM."""
    key: Path | None = None
    """TLS: its key, PEM."""
    behind_tls: bool = False
    """Whether a proxy in front speaks TLS with the browser, so that cookies are for TLS only."""
    hsts_subdomains: bool = True
    """With TLS: whether browsers are told to use it for names below this host's, too, for a year."""
    hosts: tuple[str, ...] = ()
    """Further names that the service is reached by; a request for any other name is refused (DNS rebinding)."""
    proxies: tuple[str, ...] = ()
    """Addresses or networks of proxies in front: theirs is the word on which client a request comes from."""
    audit_required: bool = False
    """Whether to refuse requests while the audit trail cannot be written."""

    max_request_bytes: int = Field(default=1024**2, ge=1024)
    """Of a request that brings no study and no outlines."""
    max_upload_bytes: int = Field(default=4 * GIB, ge=1)
    """Of one study, as it is sent."""
    max_upload_files: int = Field(default=20_000, ge=1)
    """Of one study that is sent as files."""
    max_uploads: int = Field(default=64, ge=1)
    """That arrive at a time, of all users together."""
    max_uploads_per_user: int = Field(default=56, ge=1)
    """Of one user: some room is always left for others."""
    max_open_uploads: int = Field(default=128, ge=1)
    """Resumable uploads of a user that are no studies yet."""
    max_streams: int = Field(default=16, ge=1)
    """Streams of events of one user at a time."""
    max_connections: int = Field(default=768, ge=8)
    """At a time; idle ones are closed for new ones."""
    max_connections_per_address: int = Field(default=192, ge=4)
    """Of these, from one address (IPv6: one /64 network) that is no proxy."""
    max_requests: int = Field(default=24, ge=2)
    """That are worked on at a time; the others wait their turn, user by user."""
    max_requests_per_user: int = Field(default=8, ge=1)
    """Of these, of one user."""
    max_header_bytes: int = Field(default=16 * 1024, ge=1024)
    """Of the head of a request."""
    upload_age_s: float = Field(default=24 * 3600.0, gt=0)
    """A resumable upload is kept this long after its last part."""
    idle_s: float = Field(default=60.0, gt=0)
    """An upload that brings nothing for so long is given up; a resumable one keeps what arrived."""
    least_bytes_per_s: float = Field(default=1024.0, ge=0)
    """An upload that is slower than this on the whole is given up likewise."""
    head_s: float = Field(default=10.0, gt=0)
    """In which the head of a request must have come."""
    body_s: float = Field(default=20.0, gt=0)
    """In which a body that is no study and no outlines must have come."""
    stall_s: float = Field(default=60.0, gt=0)
    """A client that does not read what it asked for is hung up on after so long."""
    requests_per_s: float = Field(default=50.0, gt=0)
    """Of one user, in the long run."""
    request_burst: int = Field(default=500, ge=1)
    """Of one user, at once."""
    logins_per_minute: float = Field(default=10.0, gt=0)
    """From one address: what fails. A user name is never locked, as anybody could then lock anybody out."""
    session_s: float = Field(default=12 * 3600.0, gt=0)
    """A session ends this long after its login, whatever happens in it."""
    session_idle_s: float = Field(default=45 * 60.0, gt=0)
    """And this long after its last request."""
    max_sessions: int = Field(default=20, ge=1)
    """Of one user; one more ends the one that was used least recently."""

    poll_s: float = Field(default=0.25, gt=0)
    """How often changes of jobs are looked for, for those who follow them."""
    heartbeat_s: float = Field(default=15.0, gt=0)
    """Between two comments on a stream of events on which nothing happens: proxies close silent ones."""
    computing_s: float = Field(default=600.0, gt=0)
    """Longer than this, and the making of layers or of a revision is taken to hang."""

    @model_validator(mode="after")
    def _is_safe(self) -> Self:
        if self.users is None and not is_loopback(self.host):
            raise ValueError(
                f"host: found {self.host} without users, so that everybody who reaches it could see all studies; "
                "expected a file of users (--users), or a loopback address"
            )
        for proxy in self.proxies:
            ipaddress.ip_network(proxy)
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key: found one of them; give both, or neither")
        return self

    @property
    def secure(self) -> bool:
        """Whether browsers reach the service by TLS."""
        return self.behind_tls or self.certificate is not None

    @property
    def known_hosts(self) -> frozenset[str]:
        """Names, without ports, that a request may be for."""
        named = {self.host} if self.host not in ("0.0.0.0", "::") else set()
        return frozenset(name.lower() for name in {*named, *self.hosts, "localhost", "127.0.0.1", "::1"})


def is_loopback(host: str) -> bool:
    """Whether only this computer reaches an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
