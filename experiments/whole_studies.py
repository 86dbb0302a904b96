"""Verdicts on whole studies, and the slices that both networks together and each alone call infected.

Whole studies of uninfected people decide whether anybody can use the system. Give DICOM folders, folders of pictures or
NIfTI files; the table names them by their last part.

    python experiments/whole_studies.py STUDY... > docs/whole-studies.md
"""

from __future__ import annotations

import argparse
from pathlib import Path

from jcs_ct import Diagnoser, read_study

HEAD = """# Whole studies

Made by `python experiments/whole_studies.py STUDY...`. *Infected* counts slices that both networks call infected; it
decides. *Marked* counts slices with opacities, *classifier* slices that the classifier alone calls infected.
`lung-pet-ct-dx-A0002` (a lung tumour), `normal001` and `normal002` are uninfected. `cap001` and `cap002` show other
pneumonia, which a verdict cannot tell from COVID-19. The way to decide was chosen on these studies.

| study | verdict | borderline | infected | marked | classifier | assessed | threshold | opacities, mL | % of the lung |
|---|---|---|---|---|---|---|---|---|---|"""


def row(diagnoser: Diagnoser, study: Path) -> str:
    """One line of the table."""
    diagnosis = diagnoser.run(read_study(study))
    rule, check, stability = diagnosis.rule, diagnosis.cross_check, diagnosis.decision.stability
    volume, share = diagnosis.measures.lesion_volume_ml, diagnosis.measures.lesion_share_of_lung
    cells = [
        f"`{study.name}`",
        str(diagnosis.verdict).replace("_", " "),
        "yes" if stability is not None and stability.borderline else "no",
        "–" if rule is None else str(rule.infected_slices),
        "–" if check is None else str(check.marked),
        "–" if check is None or check.infected_by_classifier is None else str(check.infected_by_classifier),
        "–" if rule is None else str(rule.assessed_slices),
        "–" if rule is None else f"{rule.threshold:.3g}",
        "–" if volume is None else f"{volume:.1f}",
        "–" if share is None else f"{100 * share:.2f}",
    ]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Print the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("studies", nargs="+", type=Path, metavar="STUDY")
    parser.add_argument("--weights", type=Path, help="folder of weights; those that ship by default")
    arguments = parser.parse_args()
    diagnoser = Diagnoser(arguments.weights)
    print(HEAD)
    for study in arguments.studies:
        print(row(diagnoser, study), flush=True)


if __name__ == "__main__":
    main()
