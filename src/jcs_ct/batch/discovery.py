"""Which studies an input holds: a folder of studies, one study, or a table of them.

What lies in a folder is told by the content of its files:

- DICOM files, at any depth, are grouped by study (`dicom_tree`).
- A zip archive is one study, at any depth, or each of the studies that its DICOM files belong to.
- A NIfTI file directly in the folder is one study; a folder below it with NIfTI files or pictures is one.
- Pictures directly in the folder make the folder one study.
- A folder directly below that holds none of these is a study that cannot be read, and is reported as such.
"""

from __future__ import annotations

import logging
import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from jcs_ct.batch.dicom_tree import DicomStudy, common_folder, group_by_study, studies_in_archive
from jcs_ct.batch.items import Found, Item, named, without_suffix
from jcs_ct.batch.table import is_table, read_table
from jcs_ct.errors import InputError, JcsError
from jcs_ct.notices import printable
from jcs_ct.study.files import FileKind, kind_of

log = logging.getLogger("jcs_ct.batch")


@dataclass
class _Tree:
    """What lies below a folder."""

    root: Path
    dicom: list[Path] = field(default_factory=list)
    zips: list[Path] = field(default_factory=list)
    nifti: list[Path] = field(default_factory=list)
    pictures: list[Path] = field(default_factory=list)
    """And compressed files, whose folder makes them one study as well."""
    children: list[Path] = field(default_factory=list)
    """All that lies directly in the root and is no file: folders, and links that lead nowhere."""

    def branch(self, path: Path) -> Path:
        """What lies directly in the root and leads to `path`; the root itself of the root."""
        return self.root if path == self.root else self.root / path.relative_to(self.root).parts[0]


def discover(inputs: Sequence[Path]) -> list[Item]:
    """All studies of all inputs, each under a unique name.

    Raises:
        InputError: an input does not exist, or none of them holds anything.
        UsageError: a table is not as documented, or a study is given twice.
    """
    found: list[Found] = []
    for path in map(Path.absolute, inputs):  # records outlive the working directory
        if is_table(path):
            found += read_table(path)
        elif path.is_dir():
            found += _in_folder(path)
        elif path.is_file():
            found += _in_file(path)
        else:
            raise InputError(f"{path} does not exist; expected a folder of studies, a study or a table: check the path")
    if not found:
        shown = ", ".join(map(str, inputs))
        raise InputError(f"{shown}: found no study; expected folders, zip archives, NIfTI or DICOM files")
    return named(found)


def _in_file(path: Path) -> list[Found]:
    items = _of_archive(path) if kind_of(path) is FileKind.ZIP else [Item("", str(path))]
    name = without_suffix(path.name)
    return [Found(f"{name}_{item.study_uid}" if item.study_uid else name, item) for item in items]


def _of_archive(path: Path) -> list[Item]:
    studies = studies_in_archive(path)
    if len(studies) < 2:
        return [Item("", str(path))]
    return [Item("", str(path), key.study_uid, tuple(sorted(names))) for key, names in studies.items()]


def _in_folder(root: Path) -> list[Found]:
    tree = _survey(root)
    studies, damaged = group_by_study(tree.dicom, root)
    items = _dicom_items(tree, studies) + [item for path in tree.zips for item in _of_archive(path)]
    with_dicom = {tree.branch(path) for path in tree.dicom}
    for folder, files in _by_folder(tree).items():
        volumes = [path for path in files if path in tree.nifti and folder == root]
        if tree.branch(folder) in with_dicom:
            _warn_left_out(folder, len(files), "pictures or NIfTI files beside DICOM files")
        elif volumes:
            items += [Item("", str(path)) for path in volumes]
            _warn_left_out(folder, len(files) - len(volumes), "pictures beside NIfTI files")
        else:
            items.append(Item("", str(folder)))
    told = {tree.branch(Path(item.path)) for item in items}
    told |= {tree.branch(path) for study in studies for path in study.files}
    items += [Item("", str(child)) for child in tree.children if child not in told]
    _warn_left_out(root, sum(path.parent == root for path in damaged), "DICOM files that name no study")
    return _labelled(tree, sorted(items, key=lambda item: (item.path, item.study_uid or "", item.files)))


def _warn_left_out(folder: Path, count: int, what: str) -> None:
    if count:
        log.warning("%s: %d %s are left out", printable(str(folder)), count, what)


def _by_folder(tree: _Tree) -> dict[Path, list[Path]]:
    """NIfTI files and pictures by the folder that they lie in."""
    folders: dict[Path, list[Path]] = defaultdict(list)
    for path in (*tree.nifti, *tree.pictures):
        folders[path.parent].append(path)
    return folders


def _dicom_items(tree: _Tree, studies: list[DicomStudy]) -> list[Item]:
    """A study that has a folder for itself is that folder; others are lists of files."""
    inside: dict[Path, set[int]] = defaultdict(set)
    for number, study in enumerate(studies):
        for folder in {path.parent for path in study.files}:
            for above in (folder, *folder.parents):
                inside[above].add(number)
                if above == tree.root:
                    break
    for path in tree.zips:
        for above in path.parents:
            inside[above].add(-1)  # an archive is a study of its own
    items = []
    for number, study in enumerate(studies):
        folder = common_folder(study.files)
        branch = tree.branch(folder)
        if inside[folder] == {number}:
            items.append(Item("", str(branch if inside[branch] == {number} else folder)))
        else:
            files = tuple(map(str, sorted(study.files)))
            items.append(Item("", str(folder), study.key.study_uid, files))
    return items


def _labelled(tree: _Tree, items: list[Item]) -> list[Found]:
    """Call each study as the folder or file in the root that it alone lies in, else by its way from there."""
    count = Counter(tree.branch(Path(item.path)) for item in items)
    found = []
    for item in items:
        path = Path(item.path)
        branch = tree.branch(path)
        label = branch.name or branch.resolve().name or "study"
        if count[branch] > 1 and path != branch:
            label = "_".join(path.relative_to(tree.root).parts)
        label = label if path.is_dir() else without_suffix(label)
        found.append(Found(f"{label}_{item.study_uid}" if item.study_uid else label, item))
    return found


def _survey(root: Path) -> _Tree:
    tree = _Tree(root)
    for child in sorted(root.iterdir()):
        if not (_hidden(child.name) or child.is_file()):
            tree.children.append(child)
    for path in _files(root, tree.children):
        try:
            kind = kind_of(path)
        except JcsError:
            continue  # its folder is reported if nothing else is found in it
        if kind is FileKind.DICOM:
            tree.dicom.append(path)
        elif kind is FileKind.ZIP and path.suffix.lower() == ".zip":  # spreadsheets are zip archives, too
            tree.zips.append(path)
        elif kind is FileKind.NIFTI:
            tree.nifti.append(path)
        elif kind in (FileKind.IMAGE, FileKind.GZIP):
            tree.pictures.append(path)
    return tree


def _files(root: Path, children: Sequence[Path]) -> Iterator[Path]:
    """Files in the root and below its children; a child may be a link to a folder, deeper links are not followed."""
    yield from sorted(path for path in root.iterdir() if path.is_file() and not _hidden(path.name))
    for child in children:
        for folder, subfolders, names in os.walk(child):
            subfolders[:] = sorted(name for name in subfolders if not _hidden(name))
            yield from (path for path in (Path(folder, n) for n in sorted(names) if not _hidden(n)) if path.is_file())


def _hidden(name: str) -> bool:
    # __MACOSX holds what the archiver of macOS keeps about each file, under the same name.
    return name.startswith(".") or name == "__MACOSX"
