"""What is said about a result: the reasons for its verdict, and how far it can be relied on."""

from __future__ import annotations

from jcs_ct.notices.entry import Entry
from jcs_ct.notices.notice import Severity

_GIVE_A_CHEST = "Give axial slices of a chest CT."
_LOOK = "Have a radiologist look at the images."

_REASONS: dict[str, Entry] = {
    "threshold-reached": Entry(
        Severity.INFO,
        "{infected} of {assessed} assessed slices show signs of infection, at least the threshold of {threshold:.3g}",
        "The verdict is positive: enough slices are infected.",
    ),
    "threshold-not-reached": Entry(
        Severity.INFO,
        "{infected} of {assessed} assessed slices show signs of infection, fewer than the threshold of {threshold:.3g}",
        "The verdict is negative: too few slices are infected.",
    ),
    "few-lung-slices": Entry(
        Severity.REFUSAL,
        "only {assessed:slice|slices} with lung found; at least {least} are needed to assess a patient, findings on "
        "single slices are listed",
        "So few slices say nothing about a patient.",
        "Give the whole series.",
    ),
    "half-a-lung": Entry(
        Severity.REFUSAL,
        "no signs of disease in {extent_mm:.0f} mm of lungs that are cut off at the {where}; a negative verdict needs "
        "at least {least_mm:.0f} mm, or whole lungs",
        "The part that was not scanned may be infected.",
        "Give a scan of the whole lungs.",
    ),
    "no-lungs": Entry(
        Severity.REFUSAL,
        "no lungs were found; axial slices of a chest CT are needed",
        "The images show no lungs.",
        _GIVE_A_CHEST,
    ),
    "lungs-are-gas": Entry(
        Severity.REFUSAL,
        "what looks like lungs has a median of {median_hu:.0f} HU, which is gas; lungs are needed",
        "The images show bowel, stomach or air beside the body, or the values are not HU.",
        _GIVE_A_CHEST,
    ),
    "lung-volume-implausible": Entry(
        Severity.REFUSAL,
        "what looks like lungs has {volume_ml:.0f} mL; {least_ml:.0f} to {most_ml:.0f} mL are plausible",
        "The images show another body part or an animal, or the spacing is wrong.",
        "Give axial slices of a chest CT, and check the spacing.",
    ),
    "slices-beyond-training": Entry(
        Severity.REFUSAL,
        "the slices differ too much from the classifier's training data: {beyond} of {slices} have an atypicality "
        "above {limit:.3g}, which 99 % of validation slices stay below (median {median:.3g}, usual is about 1)",
        "The classifier has not seen such images and must not judge them.",
        "Check that the images are axial slices of a whole chest in a lung window: upright, not inverted, blurred or "
        "noisy. Otherwise have a radiologist look at them.",
    ),
    "measured-only": Entry(
        Severity.INFO,
        "measured only: no decision was asked for, so this result is neither positive nor negative; the outlines were "
        "given",
        "`jcs measure` without `--result` measures given outlines and decides nothing.",
    ),
    "carried-over": Entry(
        Severity.INFO,
        "carried over from an earlier result of this study; the outlines were edited since, and the measures are of "
        "the edited outlines",
        "The verdict is that of the earlier diagnosis.",
    ),
    "no-lungs-to-measure": Entry(
        Severity.REFUSAL,
        "no lungs were found to measure opacities against; a lung mask is needed",
        "Outlines were given, but their share of the lung cannot be computed.",
        "Give a lung mask (`--lungs`).",
    ),
    "earlier-wording": Entry(
        Severity.INFO,
        "{wording}",
        "A sentence from a result that an earlier version wrote, which had no codes.",
        private={"wording": "a sentence of an earlier version is left out, as it may name files or persons"},
    ),
}

_THE_RULE: dict[str, Entry] = {
    "threshold-by-distance": Entry(
        Severity.INFO,
        "The paper's rule: positive from {paper_threshold} infected slices {paper_distance_mm:g} mm apart. These "
        "slices stand for {distance_mm:.3g} mm each, so the threshold is {threshold:.3g} slices.",
        "How the threshold follows from the paper's rule: the same extent along the patient.",
    ),
    "threshold-by-share": Entry(
        Severity.INFO,
        "The paper's rule: positive from {paper_threshold} infected slices of {paper_count}. The distance between "
        "these slices is unknown; the same share of {count} slices is {threshold:.3g}.",
        "How the threshold follows from the paper's rule: the same share of the slices.",
    ),
}

_LIMITS: dict[str, Entry] = {
    "lungs-cut-off": Entry(
        Severity.WARNING,
        "the lungs are cut off at the {where}; {extent_mm:.0f} mm of them are visible, and nothing is known about the "
        "rest",
        "The scan does not cover the whole lungs.",
        "Give a scan of the whole lungs if there is one.",
    ),
    "positive-on-part-of-lungs": Entry(
        Severity.WARNING,
        "the positive verdict rests on {extent_mm:.0f} mm of lungs that are cut off at the {where}; shares and scores "
        "are of this part alone, and the rule was made for whole lungs",
        "The scan covers less than half of the lungs.",
        "Give a scan of the whole lungs, and do not compare shares with those of other scans.",
        short="part of the lungs",
    ),
    "other-body-part": Entry(
        Severity.WARNING,
        "the header names the body part {stated}; what the images show counts",
        "Body Part Examined is not the chest.",
        "Check that the right series was given.",
    ),
    "unusual-slices": Entry(
        Severity.WARNING,
        "the slices differ from the classifier's training data: {unusual} of {slices} have an atypicality above "
        "{limit:.3g}, which 95 % of validation slices stay below (median {median:.3g}, usual is about 1); accuracy on "
        "such slices is unknown",
        "The classifier has seen few images like these.",
        _LOOK,
        short="unusual slices",
    ),
    "borderline": Entry(
        Severity.WARNING,
        "the verdict is borderline: {fewest} to {most} slices are infected if the cut of the slice probability is "
        "moved a little or one slice is added or taken away, and the threshold is {threshold:.3g}",
        "A perturbation as small as rounding, or a single slice, would change the verdict.",
        _LOOK,
        short="borderline",
    ),
    "positive-without-opacities": Entry(
        Severity.WARNING,
        "the networks disagree: the verdict is positive, but the segmenter finds opacities on only {marked} infected "
        "slices of {slices} assessed ones, fewer than the threshold of {threshold:.3g}; the verdict rests on slices "
        "with little or nothing outlined",
        "The segmenter contradicts the verdict.",
        _LOOK,
        short="networks disagree",
    ),
    "positive-against-classifier": Entry(
        Severity.WARNING,
        "the networks disagree: the verdict is positive, but the classifier alone calls only {infected} of {slices} "
        "slices infected, fewer than the threshold of {threshold:.3g}; the verdict rests on the outlined opacities",
        "The classifier alone contradicts the verdict, which rests on both tasks.",
        _LOOK,
        short="networks disagree",
    ),
    "negative-against-classifier": Entry(
        Severity.WARNING,
        "the networks disagree: the verdict is negative, but the classifier alone calls {infected} of {slices} slices "
        "infected, at least the threshold of {threshold:.3g}; the segmenter marks little or nothing on them",
        "The classifier alone contradicts the verdict, which rests on both tasks.",
        _LOOK,
        short="networks disagree",
    ),
    "negative-with-opacities": Entry(
        Severity.WARNING,
        "the networks disagree: the verdict is negative, but the segmenter finds opacities on {marked} of {slices} "
        "slices, at least the threshold of {threshold:.3g}; the verdict may miss COVID-19, or the opacities may be of "
        "another kind",
        "The segmenter contradicts the verdict. The opacities are outlined in the report.",
        _LOOK,
        short="networks disagree",
    ),
    "activation-outside-lungs": Entry(
        Severity.WARNING,
        "only {share:.1f} % of the activation map lies in the lungs (chance: {chance:.1f} %) on the {slices} infected "
        "slices; the map does not explain why they are infected",
        "The classifier looked at something outside the lungs.",
        _LOOK,
    ),
    "activation-outside-opacities": Entry(
        Severity.WARNING,
        "only {share:.1f} % of the activation map lies in the outlined opacities (chance: {chance:.1f} %) on the "
        "{slices} infected slices; the outlines do not explain why they are infected",
        "The classifier looked at something else in the lungs than the segmenter outlined.",
        _LOOK,
    ),
    "no-opacity-outlined": Entry(
        Severity.WARNING,
        "no opacity is outlined that would explain the {slices:infected slice|infected slices}",
        "The classifier calls slices infected on which the segmenter finds nothing.",
        _LOOK,
    ),
    "opacities-outside-lungs": Entry(
        Severity.WARNING,
        "{percent:.0f} % of the outlined opacities lie outside the given lung mask and are left out",
        "A given lung mask decides what is lung.",
        "Check that the mask includes consolidated lung.",
    ),
    "opacities-not-in-lungs": Entry(
        Severity.INFO,
        "{volume_ml:.0f} mL that look like opacities lie outside the lungs and are left out: {percent:.0f} % of what "
        "was marked",
        "The segmenter marked stomach, bowel or another organ beside the lungs. No aerated lung adjoins it.",
        "Check in the report that no dense lung is missing.",
    ),
    "opacities-not-in-lungs-share": Entry(
        Severity.INFO,
        "{percent:.0f} % of what looks like opacities lies outside the lungs and is left out",
        "As `opacities-not-in-lungs`, of an input without volumes.",
        "Check in the report that no dense lung is missing.",
    ),
    "outlines-outside-lungs": Entry(
        Severity.WARNING,
        "{percent:.0f} % of the outlined opacities lie outside the given lung mask; they are measured and count as "
        "lung",
        "Every voxel of given outlines counts.",
        "Check the lung mask and the outlines.",
    ),
    "nifti-thickness-unknown": Entry(
        Severity.WARNING,
        "the NIfTI files hold a single slice of unknown thickness, written as 1 mm",
        "NIfTI needs a thickness, and the input states none.",
        "Do not measure volumes in the NIfTI files.",
    ),
    "nifti-uneven": Entry(
        Severity.WARNING,
        "the slices are unevenly spaced ({least_mm:.4g} to {most_mm:.4g} mm), which NIfTI cannot express; the NIfTI "
        "files use the median distance of {median_mm:.4g} mm, so positions along the patient are wrong in them",
        "All measures in the report use the real positions.",
        "Do not measure lengths or volumes in the NIfTI files.",
    ),
}

_CHANGES: dict[str, Entry] = {
    "outlines-corrected": Entry(
        Severity.INFO,
        "the outlines of opacities were corrected by {by} on {at}",
        "A reader edited the outlines, and they were measured again.",
        private={"by": "a reader", "at": "a date that was removed"},
    ),
    "outlines-corrected-because": Entry(
        Severity.INFO,
        "the outlines of opacities were corrected by {by} on {at}: {comment}",
        "A reader edited the outlines, gave a reason, and they were measured again.",
        private={"by": "a reader", "at": "a date that was removed", "comment": "comment removed"},
    ),
    "sign-off-void": Entry(
        Severity.WARNING,
        "an earlier revision of this result was {judgement} by {by} on {at}; this does not cover the corrected "
        "outlines, so the result must be signed off again",
        "The outlines were edited after the result was signed.",
        "Sign the result again.",
        {"by": "a reader", "at": "a date that was removed"},
    ),
}

_COMPARISON: dict[str, Entry] = {
    "scores-not-comparable": Entry(
        Severity.WARNING,
        "the severity scores rest on different regions (lobes and zones) and are not compared",
        "Lobes were given for one of the two studies only.",
        "Give lobes for both studies, or for neither.",
    ),
    "lung-volumes-differ": Entry(
        Severity.WARNING,
        "the lung volumes differ ({earlier_ml:.0f} and {later_ml:.0f} mL) by breath or range of the scan; shares and "
        "zones change with them, without any change of the disease",
        "Opacities thin out as the lung fills with air.",
        "Compare volumes in mL rather than shares.",
    ),
    "different-patients": Entry(
        Severity.WARNING,
        "the two studies name different patients ({earlier} and {later})",
        "Patient ID differs.",
        "Check that the right results were given.",
        {"earlier": "one patient", "later": "another one"},
    ),
    "patient-not-named": Entry(
        Severity.WARNING,
        "not both studies name their patient; whether they are of the same one was not checked",
        "Patient ID is missing.",
        "Check that both studies are of one patient.",
    ),
    "same-study-twice": Entry(
        Severity.WARNING,
        "both results are of the same study",
        "The two inputs have the same content.",
        "Check that the right results were given.",
    ),
    "studies-in-reverse": Entry(
        Severity.WARNING,
        "the study given as the later one is older, by {days:day|days}",
        "The study dates contradict the order of the arguments.",
        "Exchange the two results.",
    ),
    "outlines-by-hand": Entry(
        Severity.WARNING,
        "the outlines of the {which} result were drawn or edited by a user; part of the difference may come from "
        "drawing",
        "Outlines by hand and by a network differ.",
    ),
    "outlined-unequally": Entry(
        Severity.WARNING,
        "opacities are outlined on all suspect slices of positive patients, but only on infected slices of others "
        "(here: {earlier}, then {later}); small ones may be missing there",
        "The two verdicts differ, or both are not positive.",
    ),
    "masks-given-once": Entry(
        Severity.WARNING,
        "lungs or lobes were given for only one of the two studies; the shares do not refer to quite the same lungs",
        "A given mask and lungs that were found differ.",
        "Give masks for both studies, or for neither.",
    ),
}

ABOUT_RESULT: dict[str, Entry] = _REASONS | _THE_RULE | _LIMITS | _CHANGES | _COMPARISON
