"""What a result was made from, as digests that can be told without reading a voxel."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
from collections.abc import Iterator
from pathlib import Path

from jcs_ct._version import __version__
from jcs_ct.batch.items import Item
from jcs_ct.batch.settings import WorkSettings
from jcs_ct.errors import InputError
from jcs_ct.weights import SHIPPED, file_sha256, load_manifest


def fingerprint(item: Item, key: bytes = b"") -> str:
    """Digest of the names, sizes and times of all files of a study and of the masks given for it.

    A study that was copied or touched has another one; whether its content changed is then told by reading it.

    Args:
        item: the study.
        key: with one the digest tells nothing to who does not hold it.

    Raises:
        InputError: a file or folder cannot be listed.
    """
    digest = hmac.new(key, digestmod=hashlib.sha256)
    digest.update(json.dumps([item.study_uid, item.series_uid, item.extent]).encode())
    try:
        if "://" in item.path:
            digest.update(item.path.encode())
        else:
            for name, path in _files(item):
                stat = path.stat()
                digest.update(f"{name}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode("utf-8", "surrogateescape"))
        for mask in (item.lungs, item.lobes):
            if mask is not None:
                digest.update(Path(mask).read_bytes())
    except OSError as error:
        raise InputError(f"{error.filename} cannot be opened ({error.strerror}): check that it may be read") from error
    return digest.hexdigest()


def _files(item: Item) -> Iterator[tuple[str, Path]]:
    root = Path(item.path)
    if item.files and root.is_dir():
        yield from ((name, Path(name)) for name in item.files)
    elif not root.is_dir():
        yield "\n".join([root.name, *item.files]), root
    else:
        for folder, subfolders, names in os.walk(root, onerror=_raise):
            subfolders.sort()
            for name in sorted(names):
                path = Path(folder, name)
                if path.is_file():
                    yield path.relative_to(root).as_posix(), path


def _raise(error: OSError) -> None:
    raise error


def recipe(settings: WorkSettings) -> str:
    """Digest of all that results depend on beside their input: version, weights, settings, formats.

    Raises:
        WeightsError: weights are missing or differ from their checksum.
    """
    folder = SHIPPED if settings.weights is None else Path(settings.weights)
    load_manifest(folder)  # which holds each file against its checksum in the manifest
    parts = {
        "version": __version__,
        "weights": file_sha256(folder / "manifest.json"),
        "threshold": settings.threshold,
        "formats": sorted(settings.formats),
        "deidentified": None if settings.key is None else hashlib.sha256(settings.key).hexdigest(),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
