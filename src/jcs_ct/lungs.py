"""The lungs on normalized slices (see `preprocessing`), found by the lung network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from threading import Lock
from typing import TYPE_CHECKING

import cc3d
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from jcs_ct import preprocessing
from jcs_ct.cores import parallel_map
from jcs_ct.morphology import Mask, convex_hull, dilated, eroded, filled
from jcs_ct.preprocessing import AIR_THRESHOLD, Box, Bytes, bounding_box, is_cropped
from jcs_ct.weights import shipped_network

if TYPE_CHECKING:
    from jcs_ct.engine import Network

LUNGS = "lungs"
"""Name of the network in the manifest."""
WORKING_SIZE = 256
"""Longer side of the grid on which lungs are searched; finer detail does not change the result."""
MOST_SEEN = 96
"""Slices that the network looks at. Of a longer study it sees every second, third, ...; lungs change slowly along the
patient, so the others follow from their neighbours."""
MIN_SHARE_OF_LARGEST = 0.08
"""What the network calls lung is lung only if it has at least this share of the largest piece's size."""
GAS_LEVEL = 0.058
"""Darker pixels (-930 HU) are gas; a region that is mostly gas is bowel or stomach."""
MOSTLY = 0.65
"""Share of gas pixels above which a region is gas; lungs with emphysema have less."""
BODY_SIZE = 128
"""Longer side of the grid on which the body's outline is computed."""
BACK_WALL = 0.15
"""Thickness of the wall behind the lungs as a share of the body's depth (uninfected: median 0.13, 95 % up to 0.16)."""
CROPPED_BACK_WALL = 0.12
"""The same in a crop to the lungs (95 % of slices have less)."""
MIN_LUNG_SHARE = 0.02
"""A slice is a lung slice if at least this share of its own pixels is lung..."""
MIN_SHARE_OF_FULLEST = 0.20
"""...and its lung area is at least this share of that of the study's fullest slices. The outermost slices show partial
volumes of diaphragm, stomach and chest wall, which look like opacities."""

LungSearch = Callable[[Bytes, Mask | None, Bytes], Mask]
"""Finds the lungs of a stack as `find_lungs` does, from all three of its arguments."""


def overview(slices: Bytes) -> Bytes:
    """(Z, H, W) with its longer side reduced to at most `WORKING_SIZE`: the grid on which lungs are searched."""
    height, width = slices.shape[1:]
    step = max(height, width) / WORKING_SIZE
    if step <= 1:
        return slices
    size = (max(1, round(width / step)), max(1, round(height / step)))
    return np.stack(
        parallel_map(lambda image: np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BOX)), list(slices))
    )


class LungFinder:
    """Finds both lungs by the lung network: dense lung is lung; stomach, bowel and air beside the body are not.

    Args:
        network: input (N, 1, S, S), whole slices in the one form; first output (N, 2, S, S), logits of the right lung
            and the left one.
    """

    def __init__(self, network: Network) -> None:
        self._network = network
        self._one_at_a_time = Lock()  # a compiled network has one set of buffers

    def __call__(self, slices: Bytes, inside: Mask | None = None, coarse: Bytes | None = None) -> Mask:
        """Lung mask of a stack.

        Args:
            slices: (Z, H, W), 0..1 stored as 0..255.
            inside: (Z, H, W), False where a pixel is padding; all True if None.
            coarse: the `overview` of the slices, if the caller has it already.

        Returns:
            (Z, H, W): both lungs, with what is dense in them.
        """
        coarse = overview(slices) if coarse is None else coarse
        count, shape = len(coarse), (coarse.shape[1], coarse.shape[2])
        seen = seen_slices(count)
        logits = self._logits(coarse[seen])
        lungs = np.empty(coarse.shape, bool)
        out = np.empty(slices.shape, bool)

        def draw(z: int) -> None:
            patch = _between(logits, seen, z)
            drawn = preprocessing.from_square(patch, shape) > 0
            if drawn.any():  # the network never saw shoulders, and takes the mattress below them for lung
                own = np.ones(shape, bool) if inside is None else resized_mask(inside[z], shape)
                drawn &= body_hull((coarse[z] >= AIR_THRESHOLD * 255) & own, own)
                drawn = filled(_without_gas(drawn, coarse[z] < GAS_LEVEL * 255))
            lungs[z] = drawn

        def complete(z: int) -> None:
            out[z] = resized_mask(lungs[z], (slices.shape[1], slices.shape[2]))
            if inside is not None:
                out[z] &= inside[z]

        parallel_map(draw, range(count))
        lungs = _large_components(lungs)
        parallel_map(complete, range(count))
        return out

    def _logits(self, images: Bytes) -> NDArray[np.float32]:
        """(N, S, S): above 0 in either lung."""
        side = self._network.input_size[0]
        squares = np.stack(
            parallel_map(lambda image: preprocessing.fit_square(_without_bright_frame(image), side), list(images))
        )
        with self._one_at_a_time:
            return np.concatenate([outputs[0].max(1) for outputs in self._network.run(squares)])


@cache
def shipped_finder() -> LungFinder:
    """The lung network that ships, loaded once."""
    from jcs_ct.engine import Network  # here: given lungs are measured without a library of networks

    return LungFinder(Network(shipped_network(LUNGS).exact.path))


def find_lungs(slices: Bytes, inside: Mask | None = None, coarse: Bytes | None = None) -> Mask:
    """The lungs of a stack by the network that ships; see `LungFinder`."""
    return shipped_finder()(slices, inside, coarse)


def _without_bright_frame(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A slice (H, W) with the even, bright surroundings of a round field of view made air, as scanners have it."""
    corners = image[[0, 0, -1, -1], [0, -1, 0, -1]]
    if corners[0] < AIR_THRESHOLD * 255 or np.ptp(corners):
        return image
    labels, _ = ndimage.label(image == corners[0])
    return np.asarray(np.where(np.isin(labels, labels[[0, 0, -1, -1], [0, -1, 0, -1]]), 0, image), np.uint8)


def seen_slices(count: int) -> NDArray[np.int64]:
    """Which of so many slices the network looks at: evenly spread, the first and the last among them."""
    step = -(-count // MOST_SEEN)
    return np.unique(np.append(np.arange(0, count, step), count - 1))


def _between(logits: NDArray[np.float32], seen: NDArray[np.int64], z: int) -> NDArray[np.float32]:
    """(S, S): logits of slice z, between those of the slices next to it that were seen."""
    after = int(np.searchsorted(seen, z))
    if seen[after] == z:
        return np.asarray(logits[after])
    weight = np.float32((z - seen[after - 1]) / (seen[after] - seen[after - 1]))
    return np.asarray((1 - weight) * logits[after - 1] + weight * logits[after])


def resized_mask(mask: Mask, shape: tuple[int, int]) -> Mask:
    """A mask (H, W) on a grid of another shape, by nearest neighbours."""
    if mask.shape == shape:
        return mask
    return np.asarray(
        Image.fromarray(mask.astype(np.uint8)).resize((shape[1], shape[0]), Image.Resampling.NEAREST)
    ).astype(bool)


def _without_gas(lungs: Mask, gas: Mask) -> Mask:
    """Remove the regions of a slice that are mostly gas."""
    labels, count = ndimage.label(lungs)
    area = np.bincount(labels.ravel(), minlength=count + 1)
    lung = np.bincount(labels[gas], minlength=count + 1) <= MOSTLY * area
    lung[0] = False
    return np.asarray(lung[labels])


def body_hull(tissue: Mask, inside: Mask) -> Mask:
    """Convex hull of the largest piece of tissue on a slice: excludes the air between patient and couch.

    A crop to the lungs has tissue along most of its rim, no such air, and disconnected tissue; all of it is kept.

    Args:
        tissue: (H, W), what is not air.
        inside: (H, W), False where a pixel is padding.
    """
    if is_cropped(tissue, inside):
        return inside
    # The opening separates the body from the couch, which is thinner than the body wall.
    labels, count = ndimage.label(_opened(tissue, 2))
    if not count:
        return np.zeros_like(tissue)
    largest = labels == 1 + int(np.argmax(np.bincount(labels.ravel())[1:]))
    return convex_hull(largest)


def _opened(mask: Mask, reach: int) -> Mask:
    """Remove structures thinner than 2 * `reach` + 1 pixels."""
    return dilated(eroded(mask, reach), reach)


def _large_components(dark: Mask) -> Mask:
    """Keep the dark regions that are large compared with the largest."""
    kept = np.zeros_like(dark)
    box = bounding_box(np.asarray(dark.any(0)))
    if box is None:
        return kept
    within = (slice(None), slice(box.top, box.bottom), slice(box.left, box.right))
    labels = cc3d.connected_components(np.ascontiguousarray(dark[within]), connectivity=6)
    sizes = np.zeros(int(labels.max()) + 1, np.int64)
    for plane in labels:  # slice by slice: counting takes eight bytes a voxel
        sizes += np.bincount(plane.ravel(), minlength=len(sizes))
    sizes[0] = 0
    keep = sizes >= MIN_SHARE_OF_LARGEST * sizes.max()
    keep[0] = False
    kept[within] = keep[labels]
    return kept


def lung_slices(lungs: Mask, inside: Mask | None = None) -> Mask:
    """(Z,): whether each slice of (Z, H, W) shows enough lung to be classified."""
    areas = np.array([np.count_nonzero(mask) for mask in lungs])
    own = np.full(len(lungs), lungs[0].size) if inside is None else inside.sum((1, 2), dtype=np.int64)
    fullest = np.percentile(areas, 90)
    return np.asarray((areas >= MIN_LUNG_SHARE * own) & (areas >= MIN_SHARE_OF_FULLEST * fullest))


def lung_box(lungs: Sequence[Mask] | Mask, slices: Sequence[Bytes] | Bytes) -> Box | None:
    """One box around the lungs of all slices, so that every slice has the same scale. None without lungs.

    The mask holds aerated lung, but consolidation gathers at the back of supine patients. The box therefore extends as
    far back as lungs do in the visible body.

    Args:
        lungs: Z lung masks (H, W) of upright slices.
        slices: Z slices (H, W), 0..1 stored as 0..255.
    """
    reached = np.zeros_like(lungs[0])
    for mask in lungs:
        reached |= mask
    box = bounding_box(reached)
    if box is None:
        return None
    backs = [back for back in parallel_map(_back_of_lungs, list(slices)) if back is not None]
    return replace(box, bottom=max(box.bottom, min(int(np.median(backs)), len(reached)))) if backs else box


def _back_of_lungs(image: Bytes) -> float | None:
    """Row up to which lungs extend backwards on a slice (H, W); None if no body is visible."""
    height, width = image.shape
    step = max(1.0, max(height, width) / BODY_SIZE)
    reduced = Image.fromarray(image).resize((round(width / step), round(height / step)), Image.Resampling.BOX)
    tissue = np.asarray(reduced) >= AIR_THRESHOLD * 255
    inside = np.ones(tissue.shape, bool)
    if is_cropped(tissue, inside):
        return float((1 - CROPPED_BACK_WALL) * height)
    body = bounding_box(body_hull(tissue, inside))
    return None if body is None else float(step * (body.bottom - BACK_WALL * body.height))


def quarter_turns(lungs: Mask) -> int:
    """Counter-clockwise quarter turns (0 or 1) that bring the two lungs side by side.

    For images that do not state their orientation. An upright chest is nearly symmetric left to right but not top to
    bottom; every slice votes with the difference.

    Args:
        lungs: (Z, H, W).
    """
    votes = []
    for mask in lungs:
        box = bounding_box(mask)
        if box is None:
            continue
        own = mask[box.top : box.bottom, box.left : box.right]
        votes.append(_overlap(own, own[:, ::-1]) - _overlap(own, own[::-1]) + np.log(box.width / box.height))
    return int(bool(votes) and float(np.mean(votes)) < 0)


def _overlap(a: Mask, b: Mask) -> float:
    """Intersection over union."""
    return float((a & b).sum() / max((a | b).sum(), 1))
