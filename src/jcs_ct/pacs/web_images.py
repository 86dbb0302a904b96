"""CT images that a DICOMweb service holds, saved as files; whoever fetches them says why and checks what came."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import requests
from dicomweb_client.api import DICOMwebClient
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

from jcs_ct.errors import PeerError
from jcs_ct.pacs.folders import image_name
from jcs_ct.pacs.sop_classes import CT_STORAGE
from jcs_ct.study.quiet import quiet_libraries


@contextmanager
def answers_explained(service: str) -> Iterator[None]:
    """Turn what goes wrong in a conversation with a service into one kind of error.

    Raises:
        PeerError: it cannot be reached, refuses, or answers with something else than DICOMweb.
    """
    try:
        yield
    except requests.HTTPError as error:
        status = error.response.status_code if error.response is not None else "an error"
        raise PeerError(f"{service} answered with HTTP {status}") from error
    except (requests.RequestException, InvalidDicomError, ValueError, OSError) as error:
        raise PeerError(f"{service} gives no proper answer ({type(error).__name__}); is it up?") from error


def ct_series(client: DICOMwebClient, study_uid: str) -> list[str]:
    """Series Instance UIDs of a study's CT series, sorted (QIDO-RS)."""
    answers = client.search_for_series(study_uid, fields=["SeriesInstanceUID"], search_filters={"Modality": "CT"})
    return sorted({str(Dataset.from_json(each).get("SeriesInstanceUID") or "").strip() for each in answers} - {""})


def save_images(
    client: DICOMwebClient,
    study_uid: str,
    series: Iterable[str],
    folder: Path,
    may_go_on: Callable[[], None] = lambda: None,
) -> None:
    """Save the CT images of series into a folder, as stored (WADO-RS). What belongs to another study is left out.

    Args:
        client: of the service.
        study_uid: Study Instance UID.
        series: Series Instance UIDs.
        folder: exists.
        may_go_on: called before each image is saved; raises to stop.
    """
    for series_uid in series:
        with quiet_libraries():
            for image in client.iter_series(study_uid, series_uid, media_types=(("application/dicom", "*"),)):
                may_go_on()
                if image.get("SOPClassUID") in CT_STORAGE and image.get("StudyInstanceUID") == study_uid:
                    image.save_as(folder / image_name(str(image.SOPInstanceUID)), enforce_file_format=True)
