"""The words of the tus protocol, version 1.0.0."""

from __future__ import annotations

import base64
import binascii
from http import HTTPStatus

from jcs_ct.service.problems import RefusedError

VERSION = "1.0.0"
EXTENSIONS = "creation,termination,expiration"


def read_metadata(header: str) -> dict[str, str]:
    """What `Upload-Metadata` states: keys, each with its value in Base64.

    Raises:
        RefusedError: It is not of that form.
    """
    stated: dict[str, str] = {}
    for pair in filter(None, (part.strip() for part in header.split(","))):
        key, _, value = pair.partition(" ")
        try:
            stated[key] = base64.b64decode(value, validate=True).decode()
        except (binascii.Error, ValueError) as error:
            raise RefusedError(
                HTTPStatus.BAD_REQUEST, "Upload-Metadata: expected keys, each with a value in Base64 of UTF-8"
            ) from error
    return stated
