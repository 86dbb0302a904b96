"""A chest of known volume, for the test of an installation: ellipsoids in air, nothing of a patient."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from jcs_ct.study.volume import Geometry, InputKind, IntensityKind, Study, content_digest

_SHAPE, _SPACING = (12, 160, 160), (14.0, 2.1, 2.1)
"""Slices, rows, columns, and the mm between them."""
_RADII = (70.0, 70.0, 48.0)
"""Of a lung, in mm along the same axes."""
_SIDE = 62.0
"""mm from the middle of the body to the middle of a lung."""
_AIR, _BODY, _LUNG, _SPINE = -1000, 40, -860, 400

LUNG_ML = 2 * 4 / 3 * np.pi * float(np.prod(_RADII)) / 1000
"""Volume of both lungs, by the formula for ellipsoids."""


def phantom() -> Study:
    """A body with a spine and two lungs."""
    z, y, x = (
        ((np.arange(n) - (n - 1) / 2) * step).reshape([-1 if axis == k else 1 for k in range(3)])
        for axis, (n, step) in enumerate(zip(_SHAPE, _SPACING, strict=True))
    )
    voxels: NDArray[np.int16] = np.full(_SHAPE, _AIR, dtype=np.int16)
    voxels[np.broadcast_to((x / 155) ** 2 + (y / 105) ** 2 <= 1, _SHAPE)] = _BODY
    voxels[np.broadcast_to(x**2 + (y - 70) ** 2 <= 16**2, _SHAPE)] = _SPINE
    for side in (-_SIDE, _SIDE):
        inside = (z / _RADII[0]) ** 2 + (y / _RADII[1]) ** 2 + ((x - side) / _RADII[2]) ** 2 <= 1
        voxels[np.broadcast_to(inside, _SHAPE)] = _LUNG
    positions = np.zeros((_SHAPE[0], 3))
    positions[:, 2] = z.ravel()
    geometry = Geometry(positions, np.array([1.0, 0, 0]), np.array([0, 1.0, 0]), _SPACING[1:])
    digest = content_digest(voxels, IntensityKind.HU, geometry)
    sources = ("phantom",) * _SHAPE[0]
    return Study(voxels, IntensityKind.HU, InputKind.DICOM, sources, digest, geometry, plane="axial")
