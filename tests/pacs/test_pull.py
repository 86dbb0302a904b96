"""Peers that answer otherwise than they should when a study is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pynetdicom import AE, evt
from pynetdicom.dimse_primitives import C_MOVE

from jcs_ct.errors import PeerError
from jcs_ct.pacs.node import Node
from jcs_ct.pacs.pull import Wanted, pull
from jcs_ct.pacs.settings import Peer
from jcs_ct.pacs.sop_classes import STUDY_ROOT_FIND, STUDY_ROOT_MOVE
from tests.pacs.peers import eventually, pacs_settings, queue_settings

FOREVER = 20_000
"""Answers after which a peer gives up: far more than the limits of these tests."""

Answers = Iterator[tuple[int, Dataset | None]]


@contextmanager
def archive(on_find: Callable[[evt.Event], Any], on_move: Callable[[evt.Event], Any] | None = None) -> Iterator[Peer]:
    """A peer that answers to C-FIND and C-MOVE by these handlers."""
    entity = AE("ARCHIVE")
    entity.add_supported_context(STUDY_ROOT_FIND)
    entity.add_supported_context(STUDY_ROOT_MOVE)
    handlers: list[Any] = [(evt.EVT_C_FIND, on_find)] + ([(evt.EVT_C_MOVE, on_move)] if on_move else [])
    server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
    assert server is not None
    try:
        yield Peer("archive", "ARCHIVE", "127.0.0.1", server.server_address[1])
    finally:
        server.shutdown()


def answer_of(study_uid: str, accession: str, series_uid: str = "") -> Dataset:
    answer = Dataset()
    answer.QueryRetrieveLevel, answer.StudyInstanceUID, answer.AccessionNumber = "STUDY", study_uid, accession
    answer.SeriesInstanceUID = series_uid
    return answer


@contextmanager
def archive_that_answers(status: int, *studies: tuple[str, str]) -> Iterator[Peer]:
    """A peer that answers to every C-FIND with these studies (UID, accession number), whatever it is asked."""

    def on_find(event: evt.Event) -> Answers:
        del event
        yield from ((0xFF00, answer_of(*study)) for study in studies)
        yield status, None

    with archive(on_find) as peer:
        yield peer


class Endless:
    """A peer that answers and answers, until it is cut off."""

    def __init__(self) -> None:
        self.answers = 0
        self._caller: Any = None

    @property
    def was_cut_off(self) -> bool:
        """Whether the connection is gone: an association learns of that only once its handler is done."""
        is_open = self._caller.dul.state_machine.current_state == "Sta6"
        return not is_open and self.answers < FOREVER

    def _goes_on(self, event: evt.Event) -> bool:
        self._caller = event.assoc
        self.answers += 1
        return self.answers < FOREVER and (self.answers == 1 or not self.was_cut_off)

    def find(self, event: evt.Event) -> Answers:
        while self._goes_on(event):
            yield 0xFF00, answer_of(f"1.{self.answers}", "A1")

    def find_series_without_end(self, event: evt.Event) -> Answers:
        if event.identifier.QueryRetrieveLevel == "STUDY":
            yield 0xFF00, answer_of("1.2", "A1")
            return
        while self._goes_on(event):
            yield 0xFF00, answer_of("1.2", "A1", f"1.2.{self.answers}")

    def move(self, event: evt.Event) -> Iterator[Any]:
        progress = C_MOVE()
        progress.MessageIDBeingRespondedTo = event.request.MessageID
        progress.AffectedSOPClassUID = event.request.AffectedSOPClassUID
        progress.Status = 0xFF00
        while self._goes_on(event):
            event.assoc.dimse.send_msg(progress, event.context.context_id)
        yield None, None


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


@pytest.mark.parametrize("kind", ["find", "find_series_without_end"])
def test_answers_without_end_are_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr("jcs_ct.pacs.pull._MOST_ANSWERS", 8)
    endless = Endless()
    with archive(getattr(endless, kind)) as peer:
        said = refusal(tmp_path, peer)
        assert said == "peer archive answers to C-FIND without end, expected at most 8 answers"
        eventually(lambda: endless.was_cut_off, "the association ends", limit_s=20.0)


def test_progress_without_end_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jcs_ct.pacs.pull._MOST_PROGRESS", 8)
    endless = Endless()

    def find(event: evt.Event) -> Answers:
        del event
        yield 0xFF00, answer_of("1.2", "A1", "1.2.3")

    with archive(find, endless.move) as peer:
        assert refusal(tmp_path, peer) == "peer archive tells of the progress of C-MOVE without end"
        eventually(lambda: endless.was_cut_off, "the association ends", limit_s=20.0)
