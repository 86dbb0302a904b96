"""Fetches a study from a peer: by C-FIND and C-MOVE, or by QIDO-RS and WADO-RS. Only its CT series.

A C-MOVE sends to whoever the peer knows under our AE title. Where a node runs on the store, that node receives; else
the command listens itself for as long as it takes, and hands the study in as soon as the peer is done.
"""

from __future__ import annotations

import re
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dicomweb_client.api import DICOMwebClient
from pydicom.dataset import Dataset

from jcs_ct.errors import PeerError, QueueFullError, UsageError
from jcs_ct.jobs.folders import PRIVATE, sync_tree
from jcs_ct.pacs.arrivals import CALLER, IMAGES
from jcs_ct.pacs.folders import digest
from jcs_ct.pacs.node import Node
from jcs_ct.pacs.senders import association, web_client
from jcs_ct.pacs.settings import Peer
from jcs_ct.pacs.sop_classes import STUDY_ROOT_FIND, STUDY_ROOT_MOVE
from jcs_ct.pacs.submission import Submitted
from jcs_ct.pacs.web_images import answers_explained, ct_series, save_images
from jcs_ct.study.quiet import quiet_libraries

_PENDING = (0xFF00, 0xFF01)
_MOST_STUDIES = 10
_MOST_ANSWERS = 1000
_MOST_PROGRESS = 200_000
_KEPT_S = 24 * 3600.0
_UID = re.compile(r"[0-9.]{1,64}")
_ACCESSION = re.compile(r"[^*?\\\x00-\x1f]{1,16}")


@dataclass(frozen=True)
class Wanted:
    """What to fetch: one of the two."""

    accession: str | None = None
    study_uid: str | None = None

    def __post_init__(self) -> None:
        if (self.accession is None) == (self.study_uid is None):
            raise UsageError("expected one of --accession and --study-uid: give what names the study")
        if self.study_uid is not None and not _UID.fullmatch(self.study_uid):
            raise UsageError(f"--study-uid: found {self.study_uid!r}, expected digits and dots, 64 at most")
        if self.accession is not None and not _ACCESSION.fullmatch(self.accession):
            raise UsageError("--accession: expected 1 to 16 characters, none of * ? and backslash")

    @property
    def keyword(self) -> str:
        """The DICOM keyword to ask for."""
        return "AccessionNumber" if self.study_uid is None else "StudyInstanceUID"

    @property
    def value(self) -> str:
        """Its value."""
        return str(self.study_uid if self.accession is None else self.accession)


@dataclass(frozen=True)
class Pulled:
    """A study that was fetched."""

    images: int
    handed_in: Submitted | None
    """None: the node that runs on the store does it, once the study is quiet."""


def pull(node: Node, peer: Peer, wanted: Wanted, by_web: bool) -> Iterator[Pulled]:
    """Fetch the studies that are wanted, one after the other.

    Raises:
        PeerError: The peer has none of that kind, cannot be reached, or did not send all of it.
        QueueError: The queue takes no study now.
        UsageError: The settings do not say how to reach the peer.
    """
    if by_web:
        yield from _pull_by_web(node, peer, wanted)
    else:
        yield from _pull_by_move(node, peer, wanted)


# C-FIND and C-MOVE


def _pull_by_move(node: Node, peer: Peer, wanted: Wanted) -> Iterator[Pulled]:
    with node.folders.locked() as alone:
        pass
    if not alone:
        for study_uid, series in _find(node, peer, wanted):
            yield Pulled(_move(node, peer, study_uid, series), None)
        return
    with node.running(submit=False, send=False):
        for study_uid, series in _find(node, peer, wanted):
            sent = _move(node, peer, study_uid, series)
            came = node.arrivals.files_of(digest(study_uid))
            if came < sent:
                raise PeerError(
                    f"peer {peer.name} says that it sent {sent} images, but {came} came; expected all of them here: it "
                    f"must know the AE title {node.settings.node.ae_title} with the address and port of this node"
                )
            folder = node.arrivals.close(digest(study_uid))
            yield Pulled(came, None if folder is None else node.desk.submit(folder))


def _find(node: Node, peer: Peer, wanted: Wanted) -> list[tuple[str, list[str]]]:
    """Study Instance UIDs, each with its CT series."""
    found = []
    with association(node.settings, peer, [STUDY_ROOT_FIND]) as opened:
        keys = {"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": "", "AccessionNumber": ""}
        studies = _ask(opened, peer, {**keys, wanted.keyword: wanted.value})
        for study_uid in _checked(peer, wanted, [_plain(each) for each in studies]):
            keys = {"QueryRetrieveLevel": "SERIES", "StudyInstanceUID": study_uid, "SeriesInstanceUID": ""}
            series = [_plain(each) for each in _ask(opened, peer, {**keys, "Modality": "CT"})]
            uids = {uid for each in series if (uid := each.get("SeriesInstanceUID"))}
            found.append((study_uid, _expected(peer, sorted(uids))))
    return found


def _ask(opened: Any, peer: Peer, keys: dict[str, str]) -> list[Dataset]:
    question, answers = Dataset(), []
    for keyword, value in keys.items():
        setattr(question, keyword, value)
    with quiet_libraries():
        for status, answer in opened.send_c_find(question, STUDY_ROOT_FIND):
            code = status.get("Status")
            if code in _PENDING and answer is not None:
                answers.append(answer)
                if len(answers) > _MOST_ANSWERS:
                    raise PeerError(
                        f"peer {peer.name} answers to C-FIND without end, expected at most {_MOST_ANSWERS} answers"
                    )
            elif code != 0:
                said = "nothing" if code is None else f"status {code:04X}H"
                raise PeerError(f"peer {peer.name} answered to C-FIND with {said}")
    return answers


def _plain(answer: Dataset) -> dict[str, str]:
    return {keyword: str(answer.get(keyword) or "").strip() for keyword in answer.dir()}


def _move(node: Node, peer: Peer, study_uid: str, series: list[str]) -> int:
    """Have series sent to us; how many images the peer says it has sent."""
    sent = 0
    with association(node.settings, peer, [STUDY_ROOT_MOVE]) as opened:
        for series_uid in series:
            question = Dataset()
            question.QueryRetrieveLevel = "SERIES"
            question.StudyInstanceUID, question.SeriesInstanceUID = study_uid, series_uid
            last = Dataset()
            answers = opened.send_c_move(question, node.settings.node.ae_title, STUDY_ROOT_MOVE)
            for number, (status, _) in enumerate(answers):
                last = status
                if number > _MOST_PROGRESS:
                    raise PeerError(f"peer {peer.name} tells of the progress of C-MOVE without end")
            if last.get("Status") != 0:
                raise PeerError(_why_not_moved(node, peer, last))
            sent += int(last.get("NumberOfCompletedSuboperations") or 0)
    node.audit.note("pulled", peer=peer.name, study=digest(study_uid), by="c-move", images=sent)
    return sent


def _why_not_moved(node: Node, peer: Peer, status: Dataset) -> str:
    code = status.get("Status")
    if code is None:
        return f"peer {peer.name} broke C-MOVE off"
    if code == 0xA801:
        title = node.settings.node.ae_title
        return (
            f"peer {peer.name} does not know the AE title {title}; add it there, with the address and port of this node"
        )
    failed = int(status.get("NumberOfFailedSuboperations") or 0)
    return (
        f"peer {peer.name} could not send all images (status {code:04X}H, {failed} failed); expected this node to be "
        "reachable at the address that the peer knows for its AE title, and to admit it: what came is kept"
    )


# QIDO-RS and WADO-RS


def _pull_by_web(node: Node, peer: Peer, wanted: Wanted) -> Iterator[Pulled]:
    if not peer.dicomweb:
        raise UsageError(f"peer {peer.name}: expected the URL of its DICOMweb service: give dicomweb")
    client = web_client(node.settings, peer)
    with answers_explained(_service(peer)):
        answers = client.search_for_studies(
            fields=["StudyInstanceUID", "AccessionNumber"], search_filters={wanted.keyword: wanted.value}
        )
        studies = _checked(peer, wanted, [_plain(Dataset.from_json(each)) for each in answers])
    for study_uid in studies:
        with _fetching(node) as folder:
            with answers_explained(_service(peer)):
                images = _fetch(node, client, peer, study_uid, folder / IMAGES)
            (folder / IMAGES / CALLER).write_text(peer.ae_title, encoding="utf-8")
            sync_tree(folder)
            node.audit.note("pulled", peer=peer.name, study=digest(study_uid), by="dicomweb", images=images)
            yield Pulled(images, node.desk.submit(folder))


def _service(peer: Peer) -> str:
    return f"peer {peer.name}: its DICOMweb service"


def _fetch(node: Node, client: DICOMwebClient, peer: Peer, study_uid: str, folder: Path) -> int:
    def may_go_on() -> None:
        if node.arrivals.disk_is_full():
            raise QueueFullError("the disk is nearly full: free some space, or remove ended jobs")

    save_images(client, study_uid, _expected(peer, ct_series(client, study_uid)), folder, may_go_on)
    return len(list(folder.glob("*.dcm")))


@contextmanager
def _fetching(node: Node) -> Iterator[Path]:
    """A folder for a study; those that kills have left are removed after a day."""
    for left in node.folders.pulling.iterdir():
        if time.time() - left.stat().st_mtime > _KEPT_S:
            shutil.rmtree(left, ignore_errors=True)
    folder = node.folders.pulling / uuid.uuid4().hex
    (folder / IMAGES).mkdir(mode=PRIVATE, parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


# Both


def _checked(peer: Peer, wanted: Wanted, answers: list[dict[str, str]]) -> list[str]:
    """The studies among the answers. A peer that does not know a key answers with all that it has."""
    fitting = [each for each in answers if each.get(wanted.keyword) == wanted.value]
    studies = sorted({each["StudyInstanceUID"] for each in fitting if each.get("StudyInstanceUID")})
    if not studies:
        raise PeerError(f"peer {peer.name} has no study of this {wanted.keyword}; check it")
    if len(studies) > _MOST_STUDIES:
        raise PeerError(
            f"peer {peer.name} has {len(studies)} studies of this {wanted.keyword}, expected at most {_MOST_STUDIES}: "
            "give --study-uid"
        )
    return studies


def _expected(peer: Peer, series: list[str]) -> list[str]:
    if not series:
        raise PeerError(f"the study at peer {peer.name} has no CT series; expected one")
    return series
