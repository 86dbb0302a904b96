"""Measure speed, memory and accuracy by section; write `docs/speed/*.json`, plots and `docs/speed.md`.

    python benchmarks/speed.py --data ../shared/data [SECTION ...] [--quick] [--output docs/speed]

Without sections all are measured, about two hours on two idle cores. Each section's figures are stored when it is
done, so sections can be measured at different times. `page` measures nothing and writes the page from stored figures,
beside their folder. Needs the extras train, evaluate and benchmark.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # as a script, only its own folder is on the path

from benchmarks.speed_sections.cases import cases  # noqa: E402
from benchmarks.speed_sections.engines import engines, engines_avx2  # noqa: E402
from benchmarks.speed_sections.gpu import gpu  # noqa: E402
from benchmarks.speed_sections.page import write_page  # noqa: E402
from benchmarks.speed_sections.plan import Figures, Plan, load, machine, save  # noqa: E402
from benchmarks.speed_sections.precision import precision  # noqa: E402
from benchmarks.speed_sections.scaling import scaling  # noqa: E402
from benchmarks.speed_sections.start import start  # noqa: E402
from benchmarks.speed_sections.systems import systems  # noqa: E402

SECTIONS: dict[str, Callable[[Plan], Figures]] = {
    "start": start,
    "cases": cases,
    "engines": engines,
    "engines-avx2": engines_avx2,
    "systems": systems,
    "scaling": scaling,
    "precision": precision,
    "gpu": gpu,
}
"""Sections in the order of measuring."""


def measure(names: list[str], plan: Plan, output: Path) -> None:
    """Measure sections one after the other and store the figures of each."""
    for name in names:
        before, begin = machine(), perf_counter()
        print(save(output, name, plan, before, SECTIONS[name](plan)), f"{perf_counter() - begin:.0f} s", flush=True)


def main(arguments: list[str] | None = None) -> int:
    """Measure the named sections and write the page of all stored figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=f"{', '.join(SECTIONS)}, or page")
    parser.add_argument("--data", type=Path, required=True, help="folder that holds the data sources")
    parser.add_argument("--quick", action="store_true", help="a few slices, to see that it works; figures of no worth")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "speed", help="folder of the figures")
    given = parser.parse_args(arguments)
    if unknown := set(given.sections) - {*SECTIONS, "page"}:
        parser.error(f"found the sections {', '.join(sorted(unknown))}, expected of {', '.join(SECTIONS)}, page")
    wanted = [name for name in given.sections or SECTIONS if name != "page"]
    measure(wanted, Plan(given.data.resolve(), given.quick), given.output)
    print(write_page(load(given.output), given.output))
    return 0


if __name__ == "__main__":
    sys.exit(main())
