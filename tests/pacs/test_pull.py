"""Peers that answer otherwise than they should when a study is asked for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pynetdicom import AE, evt

from jcs_ct.errors import PeerError
from jcs_ct.pacs.node import Node
from jcs_ct.pacs.pull import Wanted, pull
from jcs_ct.pacs.settings import Peer
from jcs_ct.pacs.sop_classes import STUDY_ROOT_FIND
from tests.pacs.peers import pacs_settings, queue_settings


@contextmanager
def archive_that_answers(status: int, *studies: tuple[str, str]) -> Iterator[Peer]:
    """A peer that answers to every C-FIND with these studies (UID, accession number), whatever it is asked."""

    def on_find(event: evt.Event) -> Iterator[tuple[int, Dataset | None]]:
        del event
        for study_uid, accession in studies:
            answer = Dataset()
            answer.QueryRetrieveLevel, answer.StudyInstanceUID, answer.AccessionNumber = "STUDY", study_uid, accession
            yield 0xFF00, answer
        yield status, None

    entity = AE("ARCHIVE")
    entity.add_supported_context(STUDY_ROOT_FIND)
    handlers: list[Any] = [(evt.EVT_C_FIND, on_find)]
    server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
    assert server is not None
    try:
        yield Peer("archive", "ARCHIVE", "127.0.0.1", server.server_address[1])
    finally:
        server.shutdown()


def refusal(folder: Path, peer: Peer) -> str:
    node = Node(pacs_settings(folder, peer), queue_settings(folder))
    try:
        with pytest.raises(PeerError) as refused:
            list(pull(node, peer, Wanted("A1"), by_web=False))
    finally:
        node.close()
    return str(refused.value)


def test_studies_of_other_patients_are_not_pulled(tmp_path: Path) -> None:
    """As peers answer that do not know a key: with all that they have."""
    with archive_that_answers(0, ("1.2", "B2"), ("1.3", "")) as peer:
        assert refusal(tmp_path, peer) == "peer archive has no study of this AccessionNumber; check it"


def test_too_many_studies_are_not_pulled(tmp_path: Path) -> None:
    with archive_that_answers(0, *((f"1.{number}", "A1") for number in range(11))) as peer:
        assert "has 11 studies of this AccessionNumber, expected at most 10" in refusal(tmp_path, peer)


def test_failure_of_the_question_is_told(tmp_path: Path) -> None:
    with archive_that_answers(0xA700) as peer:
        assert refusal(tmp_path, peer) == "peer archive answered to C-FIND with status A700H"


def test_study_without_ct_is_told(tmp_path: Path) -> None:
    with archive_that_answers(0, ("1.2", "A1")) as peer:
        assert refusal(tmp_path, peer) == "the study at peer archive has no CT series; expected one"
