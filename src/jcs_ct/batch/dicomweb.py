"""Studies that a DICOMweb service holds: found by QIDO-RS, fetched by WADO-RS when their turn comes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from dicomweb_client.api import DICOMwebClient
from pydicom.dataset import Dataset

from jcs_ct.batch.items import Found, Item
from jcs_ct.errors import InputError, PeerError, UsageError
from jcs_ct.pacs.senders import web_client
from jcs_ct.pacs.settings import load_settings
from jcs_ct.pacs.web_images import answers_explained, ct_series, save_images

_CONNECT_S, _ANSWER_S = 10.0, 120.0
_FIELDS = ("StudyInstanceUID", "PatientID", "StudyDate", "NumberOfStudyRelatedInstances")
_PAGE = 1000
_PATH = "/studies/"


def find_studies(service: str, query: Mapping[str, str], config: str | None = None) -> list[Found]:
    """The studies with CT images that a service finds.

    Args:
        service: URL of the service, or the name of a peer in the file of settings.
        query: DICOM keywords with what to look for, as QIDO-RS takes it (`StudyDate`: `20200301-20200630`).
        config: file of settings of `jcs pacs`, which holds users and certificates.

    Raises:
        PeerError: the service cannot be reached or gives no proper answer.
        InputError: it finds no study.
        UsageError: there is no such peer.
    """
    url, client = _client(service, config)
    client.set_http_retry_params(retry=False)  # somebody waits
    filters = {"ModalitiesInStudy": "CT", **query}
    found: dict[str, Found] = {}
    for study in _studies(client, url, filters):
        uid = str(study.get("StudyInstanceUID") or "")
        if uid:
            words = [str(study.get(keyword) or "") for keyword in ("PatientID", "StudyDate")]
            label = "_".join([*filter(None, words), uid])
            extent = str(study.get("NumberOfStudyRelatedInstances") or "")
            found[uid] = Found(label, Item("", f"{url}{_PATH}{uid}", uid, extent=extent))
    if not found:
        raise InputError(f"{url} finds no study with CT images for {dict(query)}; check the query")
    return [found[uid] for uid in sorted(found)]


def _studies(client: DICOMwebClient, url: str, filters: Mapping[str, str]) -> Iterator[Dataset]:
    """The answers of a service, page by page, until a page brings nothing new: not every service knows of offsets."""
    seen: set[str] = set()
    while True:
        with answers_explained(url):
            answers = client.search_for_studies(
                fields=list(_FIELDS), search_filters=dict(filters), limit=_PAGE, offset=len(seen)
            )
            studies = [Dataset.from_json(each) for each in answers]
        new = [study for study in studies if str(study.get("StudyInstanceUID") or "") not in seen]
        seen |= {str(study.get("StudyInstanceUID") or "") for study in new}
        yield from new
        if not new or len(studies) < _PAGE:
            return


def fetch_study(item: Item, folder: Path, config: str | None) -> None:
    """Fetch the CT images of a study into a folder.

    Raises:
        PeerError: the service cannot be reached, or holds no CT series of the study.
    """
    url, _, uid = item.path.rpartition(_PATH)
    url, client = _client(url, config)
    with answers_explained(url):
        wanted = [series_uid for series_uid in ct_series(client, uid) if item.series_uid in (None, series_uid)]
        save_images(client, uid, wanted, folder)
    if not any(folder.iterdir()):
        raise PeerError(f"{url} holds no CT images of the study {uid}; expected at least one CT series")


def _client(service: str, config: str | None) -> tuple[str, DICOMwebClient]:
    """URL, and a client that shows what the settings say of the service."""
    if config is not None:
        settings = load_settings(Path(config), None)
        for peer in settings.peers:
            if peer.dicomweb and service in (peer.name, peer.dicomweb.rstrip("/")):
                return peer.dicomweb.rstrip("/"), web_client(settings, peer)
    if "://" not in service:
        raise UsageError(f"--from: found {service!r}, expected a URL, or a peer with dicomweb in the file of --config")
    url = service.rstrip("/")
    client = DICOMwebClient(url, timeout=(_CONNECT_S, _ANSWER_S), permissive_uid=True)
    return url, client
