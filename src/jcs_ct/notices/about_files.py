"""What is said about the files and series of an input: what was left out, and why."""

from __future__ import annotations

from jcs_ct.notices.entry import Entry
from jcs_ct.notices.notice import Severity

_NAMES = {"files": "names removed"}

ABOUT_FILES: dict[str, Entry] = {
    "files-damaged": Entry(
        Severity.WARNING,
        "{count:file is|files are} damaged or not what the name says; left out: {files}",
        "Files whose names promise an image hold no known format.",
        "Copy or export the study again if slices are missing.",
        _NAMES,
    ),
    "dicom-files-unreadable": Entry(
        Severity.WARNING,
        "{count:DICOM file|DICOM files} cannot be read; left out: {files}; the first: {reason}",
        "The header or the pixels of some files are damaged; the others were read.",
        "Copy or export the study again.",
        {**_NAMES, "reason": "reason removed, it may name a file"},
    ),
    "dicomdir-files-missing": Entry(
        Severity.WARNING,
        "the DICOMDIR lists {count:file that is|files that are} missing: {files}",
        "The directory of the disc lists images that are not there.",
        "Copy the whole disc.",
        _NAMES,
    ),
    "not-ct-images": Entry(
        Severity.INFO,
        "{count:DICOM file holds|DICOM files hold} something other than CT images; left out: {files}",
        "The input holds DICOM objects of other classes: reports, presentation states, other modalities.",
        private=_NAMES,
    ),
    "copies-left-out": Entry(
        Severity.INFO,
        "{count:file is a copy of another one|files are copies of others}; left out: {files}",
        "Several files hold the same image; one of each is read.",
        private=_NAMES,
    ),
    "localizers-left-out": Entry(
        Severity.INFO,
        "{count:localizer image|localizer images} left out",
        "The series holds overview images besides its slices.",
    ),
    "several-series": Entry(
        Severity.INFO,
        "{count} series found; read: {read} with {images:image|images}; left out: {others}",
        "The input holds several CT series. The one that suits a diagnosis best was read.",
        "Choose another one with its Series Instance UID (--series-uid); jcs info lists them.",
        {"read": "one", "others": "the others"},
    ),
    "series-as-requested": Entry(
        Severity.INFO,
        "{count} series found; read as requested: {read} with {images:image|images}; left out: {others}",
        "The input holds several CT series. The requested one was read.",
        private={"read": "one", "others": "the others"},
    ),
    "several-studies": Entry(
        Severity.REFUSAL,
        "the input holds {count} studies of {patients:patient|patients}; one study is assessed at a time",
        "The series of the input belong to several studies or patients. With a chosen series, only that one is read.",
        "Give each study alone, or choose a series with --series-uid.",
    ),
    "other-kinds-left-out": Entry(
        Severity.INFO,
        "{count:file|files} of other kinds beside the {kind} images left out: {files}",
        "DICOM comes before NIfTI, and NIfTI before pictures, where a folder holds several kinds.",
        "Give the file alone if it is to be assessed.",
        _NAMES,
    ),
    "series-not-requested": Entry(
        Severity.INFO,
        "another series was requested",
        "Why a series was not read: the user chose another one.",
    ),
    "series-shorter": Entry(
        Severity.INFO,
        "it covers {extent_mm:.0f} mm, the series read {read_mm:.0f} mm",
        "Why a series was not read: another one covers more of the patient.",
    ),
    "series-derived": Entry(
        Severity.INFO,
        "its images are derived, those of the series read are original",
        "Why a series was not read: another one is as acquired (Image Type).",
    ),
    "series-thickness-less-suitable": Entry(
        Severity.INFO,
        "its slices are {thickness} thick, those of the series read {read}",
        "Why a series was not read: another one has a more suitable slice thickness.",
    ),
    "series-kernel-less-suitable": Entry(
        Severity.INFO,
        "its kernel {kernel} is of the kind {kind}, that of the series read {read_kind}",
        "Why a series was not read: another one has a more suitable convolution kernel.",
        private={"kernel": "(name removed)"},
    ),
    "series-fewer-slices": Entry(
        Severity.INFO,
        "it has {slices:slice|slices}, the series read {read}",
        "Why a series was not read: another one has more slices.",
    ),
    "series-tie": Entry(
        Severity.INFO,
        "it suits equally well; the series read has the lower UID",
        "Why a series was not read: nothing else told the two apart.",
    ),
    "series-not-ct": Entry(
        Severity.INFO,
        "it holds {sop_class}; CT images are needed",
        "Why a series was not read: it holds no CT images.",
    ),
    "pictures-unreadable": Entry(
        Severity.WARNING,
        "{count:picture|pictures} cannot be decoded; left out: {files}; the first: {reason}",
        "Some pictures are damaged; the others were read.",
        "Copy or export the pictures again.",
        {**_NAMES, "reason": "reason removed, it may name a file"},
    ),
    "segments-left-out": Entry(
        Severity.INFO,
        "{count:segment of the outlines is neither opacity nor lung|segments of the outlines are neither opacities nor "
        "lungs}; left out",
        "The given segmentation also holds segments that are of no use to a measurement.",
        "Name the segments to measure with --segment.",
    ),
    "outlines-without-reference": Entry(
        Severity.WARNING,
        "only geometry shows that the outlines belong to this study; the input states no UIDs",
        "A DICOM Segmentation was laid over an input that has no UIDs to compare.",
        "Check in the report that the outlines lie on the right study.",
    ),
}
