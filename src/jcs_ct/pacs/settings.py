"""What can be chosen of the DICOM node: a TOML file, and what the command line says beside it.

All is checked when it is read. A name that is not known is refused, as a limit that was misspelt would be none.
"""

from __future__ import annotations

import ipaddress
import re
import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from enum import StrEnum
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from jcs_ct.errors import UsageError
from jcs_ct.jobs.settings import GIB
from jcs_ct.reports.formats import ReportFormat
from jcs_ct.study.limits import MAX_FILE_BYTES

_AE_TITLE = re.compile(r"[\x20-\x5b\x5d-\x7e]{1,16}")
_Settings = TypeVar("_Settings")
_URL = re.compile(r"https?://[^\s/:]+(:\d+)?(/[^\s?#]*)?")


class Callers(StrEnum):
    """Who may open an association."""

    PEERS = "peers"
    """Peers of the file, by AE title and address."""
    ANYONE = "anyone"
    """Whoever reaches the port."""


class OtherObjects(StrEnum):
    """What becomes of objects that are no CT images."""

    REFUSE = "refuse"
    """Their SOP classes are not offered."""
    DROP = "drop"
    """They are answered with success and not kept: for peers that end a transfer at the first refusal."""


class Transport(StrEnum):
    """How results reach a peer."""

    C_STORE = "c-store"
    STOW_RS = "stow-rs"


@dataclass(frozen=True)
class NodeSettings:
    """The table `[node]`."""

    ae_title: str = "JCS"
    host: str = "127.0.0.1"
    """Address to listen at; 0.0.0.0 or :: for all."""
    port: int = 11112
    """0 for any that is free."""
    callers: Callers = Callers.PEERS
    other_objects: OtherObjects = OtherObjects.REFUSE
    quiet_s: float = 30.0
    """A study is complete when nothing of it has come for so long."""
    longest_s: float = 1800.0
    """And it is taken as complete so long after its first image, though images keep coming."""
    max_pdu_bytes: int = 131072
    """Largest PDU that is taken."""
    max_associations: int = 10
    """At once."""
    max_associations_per_peer: int = 5
    """Of these, of one peer."""
    network_timeout_s: float = 60.0
    """A peer that is silent for so long within an association is hung up on."""
    max_instance_bytes: int = MAX_FILE_BYTES
    """Of one object; as much as the reader takes."""
    max_study_bytes: int = 4 * GIB
    max_study_files: int = 50_000
    min_free_bytes: int = 5 * GIB
    """Left free on the disk: below, images are refused as out of resources, and the peer sends them later."""
    peer_share: float = 0.5
    """Part of the disk's room that what one peer has sent may fill before the queue takes it."""
    poll_s: float = 0.5
    """How often studies are looked over for those that are complete, and jobs for those that have ended."""

    def __post_init__(self) -> None:
        _check_ae_title(self.ae_title, "[node] ae_title")
        _check_port(self.port, 0, "[node] port")
        for name in ("quiet_s", "longest_s", "network_timeout_s", "poll_s", "max_associations", "max_instance_bytes"):
            _check_least(getattr(self, name), "above", 0, f"[node] {name}")
        for name in ("max_study_bytes", "max_study_files", "max_associations_per_peer"):
            _check_least(getattr(self, name), "above", 0, f"[node] {name}")
        _check_least(self.min_free_bytes, "of at least", 0, "[node] min_free_bytes")
        if not 0 < self.peer_share <= 1:
            raise UsageError(f"[node] peer_share: found {self.peer_share:g}, expected above 0 and at most 1")
        if not 4096 <= self.max_pdu_bytes <= 16 * 1024**2:
            raise UsageError(f"[node] max_pdu_bytes: found {self.max_pdu_bytes}, expected 4096 to {16 * 1024**2}")
        if self.longest_s < self.quiet_s:
            raise UsageError(
                f"[node] longest_s: found {self.longest_s:g}, expected at least quiet_s, {self.quiet_s:g}: "
                "it ends the wait for a study that never becomes quiet"
            )


@dataclass(frozen=True)
class TlsSettings:
    """The table `[tls]`; with it, the node speaks nothing but TLS."""

    certificate: Path
    """PEM, with the chain if there is one."""
    key: Path
    """PEM, without a passphrase."""
    authorities: Path | None = None
    """PEM of those whose certificates are trusted, of callers and of peers; the system's for peers if not given."""
    client_certificates: bool = True
    """Whether callers must show one."""

    def __post_init__(self) -> None:
        for name in ("certificate", "key", "authorities"):
            path = getattr(self, name)
            if path is not None and not path.is_file():
                raise UsageError(f"[tls] {name}: found no file {path}, expected a PEM file: give its path")
        if self.client_certificates and self.authorities is None:
            raise UsageError(
                "[tls] authorities: found none, expected the PEM file of those who sign the callers' certificates: "
                "give it, or set client_certificates = false"
            )


@dataclass(frozen=True)
class Peer:
    """A table `[peers.NAME]`."""

    name: str
    ae_title: str
    host: str = ""
    """Where it listens; needed to send to it, to pull from it by C-MOVE and for storage commitment."""
    port: int = 104
    addresses: tuple[str, ...] = ()
    """Networks that it calls from (10.1.2.0/24, or one address); those of `host` if empty."""
    tls: bool = False
    """Whether to speak TLS to it."""
    tls_name: str = ""
    """The name in its certificate; `host` if empty."""
    certificate_names: tuple[str, ...] = ()
    """Names of which its certificate must state one (DNS name, address, or common name). Where none are given, and
    other peers call from the same address, its certificate must state its AE title or its host."""
    send_by: Transport = Transport.C_STORE
    commitment: bool = False
    """Ask it by storage commitment to confirm that it keeps what was sent (C-STORE only)."""
    dicomweb: str = ""
    """URL of its DICOMweb service, for STOW-RS and for pulling by QIDO-RS and WADO-RS."""
    user: str = ""
    """For the DICOMweb service (basic authentication)."""
    password_file: Path | None = None

    def __post_init__(self) -> None:
        where = f"[peers.{self.name}]"
        _check_ae_title(self.ae_title, f"{where} ae_title")
        _check_port(self.port, 1, f"{where} port")
        for network in self.addresses:
            try:
                ipaddress.ip_network(network)
            except ValueError as error:
                raise UsageError(
                    f"{where} addresses: found {network!r}, expected addresses or networks such as 10.1.2.0/24"
                ) from error
        if self.dicomweb and not _URL.fullmatch(self.dicomweb):
            raise UsageError(f"{where} dicomweb: found {self.dicomweb!r}, expected a URL such as http://host:8042/wado")
        if self.send_by is Transport.STOW_RS and not self.dicomweb:
            raise UsageError(f"{where} send_by: found stow-rs, but no dicomweb; give the URL of its DICOMweb service")
        if self.commitment and not (self.host and self.send_by is Transport.C_STORE):
            raise UsageError(f"{where} commitment: expected a host and send_by = c-store, which it is part of")
        if bool(self.user) != (self.password_file is not None):
            raise UsageError(f"{where} user: expected user and password_file together; give both, or neither")
        if self.password_file is not None and not self.password_file.is_file():
            raise UsageError(f"{where} password_file: found no file {self.password_file}, expected one with a password")

    @property
    def takes_results(self) -> bool:
        """Whether it is known where to send to."""
        return bool(self.dicomweb if self.send_by is Transport.STOW_RS else self.host)


@dataclass(frozen=True)
class ResultSettings:
    """The table `[results]`."""

    send_to: tuple[str, ...] | None = None
    """Names of peers that get every result; if not given, the one peer there is, and empty for none."""
    formats: tuple[ReportFormat, ...] = ()
    """What to write for each study; those of `jcs diagnose` if empty. The DICOM objects of it are sent."""
    retry_s: float = 5.0
    """Before a second attempt; doubled before each further one."""
    longest_retry_s: float = 3600.0
    give_up_s: float = 7 * 24 * 3600.0
    """After so long without success an object is given up; `jcs pacs send` begins anew."""
    commitment_s: float = 3600.0
    """Without a report for so long, commitment is asked for again."""

    def __post_init__(self) -> None:
        for name in ("retry_s", "longest_retry_s", "give_up_s", "commitment_s"):
            _check_least(getattr(self, name), "above", 0, f"[results] {name}")

    def pause_s(self, attempts: int) -> float:
        """How long to wait after so many attempts in vain."""
        return min(self.longest_retry_s, self.retry_s * 2.0 ** min(max(attempts - 1, 0), 30))


@dataclass(frozen=True)
class PacsSettings:
    """All that a node needs to know, valid as a whole."""

    store: Path
    """The folder of the queue; what is the node's own lies in its folder `pacs`."""
    node: NodeSettings = field(default_factory=NodeSettings)
    results: ResultSettings = field(default_factory=ResultSettings)
    peers: tuple[Peer, ...] = ()
    tls: TlsSettings | None = None

    def __post_init__(self) -> None:
        titles = [peer.ae_title for peer in self.peers]
        twice = sorted({title for title in titles if titles.count(title) > 1})
        if twice:
            raise UsageError(f"[peers]: found two peers with the AE title {twice[0]}, expected one each")
        if self.node.callers is Callers.PEERS and not self.peers:
            raise UsageError(
                "[peers]: found none, expected at least one, as nobody else may call: add a table [peers.NAME] with "
                'ae_title, host and port, or set callers = "anyone" in [node]'
            )
        for name in self.destinations:
            if not self.peer(name).takes_results:
                raise UsageError(
                    f"[results] send_to: found {name}, of which it is not known where it listens: give [peers.{name}] "
                    "a host and a port, or send_to = [] to send nothing"
                )
        if self.tls is None and any(peer.tls for peer in self.peers):
            raise UsageError("[peers]: found tls = true, but no table [tls]; give certificate, key and authorities")

    @property
    def destinations(self) -> tuple[str, ...]:
        """Names of the peers that get results.

        Raises:
            UsageError: It was not said which of several.
        """
        if self.results.send_to is not None:
            return self.results.send_to
        if len(self.peers) > 1:
            raise UsageError(
                f"[results] send_to: found none with {len(self.peers)} peers, expected the names of those that get the "
                "results, or [] for none"
            )
        return tuple(peer.name for peer in self.peers if peer.takes_results)

    def peer(self, name: str) -> Peer:
        """The peer of this name.

        Raises:
            UsageError: There is none.
        """
        for peer in self.peers:
            if peer.name == name:
                return peer
        known = ", ".join(peer.name for peer in self.peers) or "none"
        raise UsageError(f"found no peer {name!r}; the file of settings knows: {known}")

    def caller(self, ae_title: str) -> Peer | None:
        """The peer of this AE title."""
        return next((peer for peer in self.peers if peer.ae_title == ae_title), None)


def load_settings(path: Path | None, store: Path | None = None, **node: Any) -> PacsSettings:
    """Read settings, and check them.

    Args:
        path: The TOML file; all by default without.
        store: In place of the file's.
        node: In place of the file's `[node]`, where not None.

    Raises:
        UsageError: With what was found, what was expected, and what to do.
    """
    tables = {} if path is None else _read(path)
    base = Path() if path is None else path.resolve().parent
    try:
        _refuse_unknown(tables, {"store", "node", "results", "peers", "tls"}, "the top level")
        given = {name: value for name, value in node.items() if value is not None}
        chosen = store or (base / _typed(str, tables["store"], "store", base) if "store" in tables else None)
        if chosen is None:
            raise UsageError("store: found none, expected the folder of the queue: give --store DIR")
        peers = _table(tables.get("peers", {}), "[peers]")
        return PacsSettings(
            store=chosen,
            node=_build(NodeSettings, {**_table(tables.get("node", {}), "[node]"), **given}, "[node]", base),
            results=_build(ResultSettings, tables.get("results", {}), "[results]", base),
            peers=tuple(
                _build(Peer, {**_table(table, f"[peers.{name}]"), "name": name}, f"[peers.{name}]", base)
                for name, table in peers.items()
            ),
            tls=_build(TlsSettings, tables["tls"], "[tls]", base) if "tls" in tables else None,
        )
    except UsageError as error:
        raise UsageError(f"{'settings' if path is None else path}: {error}") from error


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as stream:
            return tomllib.load(stream)
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror}); expected a TOML file of settings") from error
    except ValueError as error:
        raise UsageError(f"{path} is no TOML ({error}); docs/deploy.md has an example") from error


def _table(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise UsageError(f"{where}: found {value!r}, expected a table")
    return value


def _refuse_unknown(given: Mapping[str, Any], known: set[str], where: str) -> None:
    unknown = sorted(set(given) - known)
    if unknown:
        raise UsageError(f"{where}: found {unknown[0]!r}, expected one of {', '.join(sorted(known))}")


def _build(kind: type[_Settings], given: Any, where: str, base: Path) -> _Settings:
    table = _table(given, where)
    known = {each.name: each for each in fields(kind)}  # type: ignore[arg-type]
    _refuse_unknown(table, set(known), where)
    missing = [n for n, each in known.items() if each.default is MISSING and n not in table]
    if missing:
        raise UsageError(f"{where}: found no {missing[0]}, expected it there: add a line {missing[0]} = …")
    types = get_type_hints(kind)
    return kind(**{name: _typed(types[name], value, f"{where} {name}", base) for name, value in table.items()})


def _typed(kind: Any, value: Any, where: str, base: Path) -> Any:
    """A value of TOML as the type of its field; paths are relative to the file's folder."""
    if get_origin(kind) is UnionType:
        kind = next(each for each in get_args(kind) if each is not type(None))
    if get_origin(kind) is tuple:
        if not isinstance(value, list):
            raise UsageError(f"{where}: found {value!r}, expected a list")
        return tuple(_typed(get_args(kind)[0], each, where, base) for each in value)
    if kind is Path and isinstance(value, str | Path) and str(value):
        return base / value
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        if value not in list(kind):
            raise UsageError(f"{where}: found {value!r}, expected one of {', '.join(kind)}")
        return kind(value)
    words = {str: "a text", int: "a whole number", float: "a number", bool: "true or false", Path: "a path"}
    if type(value) is not kind:
        raise UsageError(f"{where}: found {value!r}, expected {words[kind]}")
    return value


def _check_ae_title(title: str, where: str) -> None:
    if not _AE_TITLE.fullmatch(title) or title != title.strip():
        raise UsageError(
            f"{where}: found {title!r}, expected 1 to 16 ASCII characters without backslash, and no space at the ends"
        )


def _check_port(port: int, lowest: int, where: str) -> None:
    if not lowest <= port <= 65535:
        raise UsageError(f"{where}: found {port}, expected {lowest} to 65535")


def _check_least(value: float, words: str, bound: float, where: str) -> None:
    if value < bound or (value == bound and words == "above"):
        raise UsageError(f"{where}: found {value:g}, expected a number {words} {bound:g}")
