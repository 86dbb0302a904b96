"""The tables of the page, from runs that are made if they are missing."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from experiments.reproduction.evaluated import Evaluated, at_its_rate
from experiments.reproduction.parts import Table
from experiments.reproduction.plan import ABLATION, COMPARED, CONTINUED, JCS, JOINT, LEARNS_BADLY, PEERS, Preset, System
from experiments.reproduction.scores import FIGURES, Scores, cost
from numpy.typing import NDArray

from jcs_ct.evaluation.metrics import bootstrap_interval

PERCENT = {"dice", "iou", "e_measure", "s_measure", "dice_adaptive"}


def _shown(name: str, of_seeds: list[Scores]) -> str:
    """Mean over slices and seeds, and the standard deviation of the seeds' means."""
    means = np.array([getattr(one, name).mean() for one in of_seeds])
    factor, digits = (100, 1) if name in PERCENT else (1, 3)
    spread = f" ± {factor * means.std(ddof=1):.{digits}f}" if len(means) > 1 else ""
    return f"{factor * means.mean():.{digits}f}{spread}"


def _over_seeds(of_seeds: list[Scores]) -> NDArray[np.float64]:
    """Dice of each slice (N,), averaged over seeds."""
    return np.asarray(np.mean([one.dice for one in of_seeds], axis=0))


def interval_of(values: NDArray[np.float64], sign: str = "") -> str:
    """95 % bootstrap interval of the mean over slices (N,), in percent."""
    low, high = bootstrap_interval(lambda chosen: float(values[chosen].mean()), np.arange(len(values)))
    return f"{100 * low:{sign}.1f} to {100 * high:{sign}.1f}"


def _paper(system: System) -> tuple[str, str, str]:
    return ("–", "–", "–") if system.paper is None else tuple(f"{value:.1f}" for value in system.paper)  # type: ignore[return-value]


def _protocol(evaluated: Evaluated) -> str:
    reproduction, preset = evaluated.reproduction, evaluated.reproduction.preset
    size = f"{preset.input_size[0]} × {preset.input_size[1]}, size `{preset.size}`, precision {reproduction.precision}"
    return (
        f"Ours: trained on the 50 training slices of the 50/48 split of covid-19-ct100 (8 of them choose the "
        f"checkpoint), {preset.settings['steps']} steps of 4 slices at {size}; {len(evaluated.slices)} test slices, "
        "mean per image at threshold 0.5, E-measure as the mean over 256 thresholds; mean over seeds "
        f"{', '.join(map(str, preset.seeds))}{_fewer(preset)} ± their standard deviation. "
        "Paper: its own data, which are not public."
    )


def _fewer(preset: Preset) -> str:
    seeds = preset.seeds[: preset.few_seeds]
    return "" if seeds == preset.seeds else f" (of peers {', '.join(map(str, seeds))})"


def _gain(evaluated: Evaluated, system: System, base: System) -> NDArray[np.float64]:
    """Difference of two systems' Dice on each slice, (N,)."""
    return _over_seeds(evaluated(system)) - _over_seeds(evaluated(base))


def _differences(evaluated: Evaluated, base: System, others: Iterable[System]) -> str:
    """Differences of systems from one system, with intervals."""
    gains = {system.label: _gain(evaluated, system, base) for system in others}
    shown = "; ".join(f"{label} {100 * gain.mean():+.1f} ({interval_of(gain, '+')})" for label, gain in gains.items())
    return f"Dice less that of “{base.label}”, with the 95 % bootstrap interval over slices: {shown}."


def _segmentation(name: str, title: str, systems: Iterable[System], evaluated: Evaluated, bases: int = 1) -> Table:
    systems = tuple(systems)
    evaluated.all(systems)
    remark = " ".join(_differences(evaluated, base, systems[k + 1 :]) for k, base in enumerate(systems[:bases]))
    rows = []
    for system in systems:
        found = evaluated(system)
        rows.append(
            (
                system.label,
                *_paper(system),
                *(_shown(f, found) for f in ("dice", "iou", "e_measure")),
                interval_of(_over_seeds(found)),
            )
        )
    head = ("system", "paper Dice", "paper IoU", "paper Eφ", "Dice", "IoU", "Eφ", "Dice, 95 % interval")
    return Table(name, title, _protocol(evaluated), head, rows, remark)


def table_5(evaluated: Evaluated) -> Table:
    """The ablation of EFM and AFF."""
    return _segmentation("table5", "Table V: what EFM and AFF give", ABLATION, evaluated)


def table_6(evaluated: Evaluated) -> Table:
    """The segmenter without and with the classifier's features."""
    return _segmentation(
        "table6", "Table VI: what the classifier's features give", (JCS, CONTINUED, JOINT), evaluated, 2
    )


def table_7(evaluated: Evaluated) -> Table:
    """All systems under one protocol, with what they cost."""
    evaluated.all(COMPARED)
    rows = []
    for system in COMPARED:
        found, price = evaluated(system), cost(system, evaluated.reproduction.preset)
        rows.append(
            (
                system.label,
                *_paper(system),
                *(_shown(figure, found) for figure in FIGURES),
                interval_of(_over_seeds(found)),
                _shown("dice_adaptive", found),
                "–" if system.published is None else f"{system.published:.1f}",
                f"{price.parameters / 1e6:.2f}",
                f"{price.flops / 1e9:.1f}",
                f"{1000 * price.seconds:.0f}",
            )
        )
    head = (
        "system", "paper Dice", "paper IoU", "paper Eφ", "Dice", "IoU", "Eφ", "Sα", "MAE", "Dice, 95 % interval",
        "Dice, adaptive", "published, adaptive", "parameters (M)", "GFLOP a slice", "ms a slice",
    )  # fmt: skip
    return Table(
        "table7", "Table VII: all systems under one protocol", _protocol(evaluated), head, rows,
        f"{ranking(evaluated)} {published(evaluated)} {_rates(evaluated)}".strip(),
    )  # fmt: skip


def ranking(evaluated: Evaluated) -> str:
    """Differences between JCS and each peer, with intervals."""
    ahead: list[str] = []
    behind: list[str] = []
    for system in PEERS:
        gain = _gain(evaluated, JCS, system)
        text = f"{system.label} ({100 * gain.mean():+.1f}; {interval_of(gain, '+')})"
        (ahead if gain.mean() > 0 else behind).append(text)
    text = (
        "Mean Dice per image of JCS (segmentation alone) less that of each peer, with the 95 % bootstrap interval over "
        f"slices of the difference. JCS is ahead of: {', '.join(ahead) or 'none'}."
    )
    return text + (f" It is not ahead of: {', '.join(behind)}. {JCS.shortfall}" if behind else "")


def _rates(evaluated: Evaluated) -> str:
    """The learning rates of the peers."""
    preset = evaluated.reproduction.preset
    if not preset.peer_rates:
        return ""
    usual = preset.settings["learning_rate"]
    changed = {
        peer.label: at_its_rate(peer, evaluated.reproduction).settings.get("learning_rate", usual) for peer in PEERS
    }
    shown = ", ".join(f"{label} ({rate:g})" for label, rate in changed.items() if rate != usual)
    return (
        f"The learning rate is {usual:g}; peers with a validation Dice below {LEARNS_BADLY:g} were tried at "
        f"{', '.join(f'{rate:g}' for rate in preset.peer_rates)} as well, and these were better there: "
        f"{shown or 'none'}."
    )


def published(evaluated: Evaluated) -> str:
    """Whether peers reach their published figures on this split, by the rule of the published figures."""
    said = []
    for system in PEERS:
        if system.published is None:
            continue
        found = 100 * float(np.mean([one.dice_adaptive.mean() for one in evaluated(system)]))
        reached = found >= system.published
        said.append(
            f"{system.label} {'reaches' if reached else 'does not reach'} its published figure at the adaptive "
            f"threshold ({found:.1f}, published {system.published:.1f})."
            + ("" if reached or not system.shortfall else f" {system.shortfall}")
        )
    return " ".join(said)


TABLES: dict[str, Callable[[Evaluated], Table]] = {"table5": table_5, "table6": table_6, "table7": table_7}
