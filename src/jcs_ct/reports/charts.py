"""Coordinates of the charts in the HTML report. The template draws them as inline SVG; nothing here knows HTML."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jcs_ct.diagnosis.decision import RuleOutcome
from jcs_ct.diagnosis.result import Diagnosis, SliceFinding

WIDTH = 1000.0
"""All charts share this width in SVG units."""
_LEFT, _RIGHT = 52.0, 988.0
_UPPER, _LOWER = 110.0, 70.0  # heights of the two strips of the profile
_UPPER_BASE = 14.0 + _UPPER
_LOWER_BASE = _UPPER_BASE + 24.0 + _LOWER


@dataclass(frozen=True)
class Tick:
    """One mark on an axis."""

    at: float
    label: str


@dataclass(frozen=True)
class Profile:
    """Probability and lesion share along the patient: SVG paths of bars, and axes."""

    infected: str
    clear: str
    skipped: str
    """Slices that were not assessed."""
    shares: str
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    share_ticks: tuple[Tick, ...]
    in_mm: bool
    upper_base: float = _UPPER_BASE
    lower_base: float = _LOWER_BASE
    left: float = _LEFT
    right: float = _RIGHT


@dataclass(frozen=True)
class ThresholdDot:
    """The verdict at one threshold of the rule."""

    at: float
    paper_threshold: int
    positive: bool
    used: bool
    labelled: bool


@dataclass(frozen=True)
class ThresholdCurve:
    """Infected slices against thresholds on one line."""

    count_at: float
    """End of the bar of infected slices."""
    beyond: bool
    """Whether the bar ends outside the chart."""
    threshold_at: float
    dots: tuple[ThresholdDot, ...]
    ticks: tuple[Tick, ...]
    left: float = _LEFT
    right: float = _RIGHT


def profile(diagnosis: Diagnosis) -> Profile | None:
    """Lay out the strip of probabilities along the patient; None where no slice was assessed."""
    findings = diagnosis.slices
    if not any(f.probability is not None for f in findings):
        return None
    spans, in_mm = _spans(diagnosis)
    low, high = min(a for a, _ in spans), max(b for _, b in spans)
    scale = (_RIGHT - _LEFT) / (high - low)
    xs = [(_LEFT + (a - low) * scale, _LEFT + (b - low) * scale) for a, b in spans]
    top_share = _nice_top(max((f.lesion_share or 0.0 for f in findings), default=0.0))
    shares = any(f.lesion_share is not None for f in findings)

    def bars(chosen: list[bool], heights: list[float], base: float) -> str:
        return "".join(_bar(x, h, base) for x, h, c in zip(xs, heights, chosen, strict=True) if c and h > 0)

    heights = [max((f.probability or 0.0) * _UPPER, 1.0) for f in findings]
    known = [f.probability is not None for f in findings]
    return Profile(
        infected=bars([bool(f.infected) for f in findings], heights, _UPPER_BASE),
        clear=bars([k and not f.infected for f, k in zip(findings, known, strict=True)], heights, _UPPER_BASE),
        skipped=bars([not k for k in known], [_UPPER] * len(findings), _UPPER_BASE),
        shares=bars([shares] * len(findings), [_share_height(f, top_share) for f in findings], _LOWER_BASE),
        x_ticks=tuple(Tick(_LEFT + (v - low) * scale, _label(v)) for v in _nice_ticks(low, high, 10)),
        y_ticks=tuple(Tick(_UPPER_BASE - v * _UPPER, f"{v:g}") for v in (0.0, 0.5, 1.0)),
        share_ticks=tuple(Tick(_LOWER_BASE - v * _LOWER, f"{v * top_share:.3g} %") for v in (0.0, 1.0) if shares),
        in_mm=in_mm,
    )


def _spans(diagnosis: Diagnosis) -> tuple[list[tuple[float, float]], bool]:
    """Where each finding's bar starts and ends: in mm where all positions are known, else in slices counted from 1."""
    positions = [f.position_mm for f in diagnosis.slices]
    known = [p for p in positions if p is not None]
    geometry = diagnosis.study.geometry
    if geometry is not None and len(known) == len(positions):
        extents = geometry.slice_extents
        halves = [e / 2 if np.isfinite(e) else 0.5 for e in (float(extents[f.index]) for f in diagnosis.slices)]
        return [(p - h, p + h) for p, h in zip(known, halves, strict=True)], True
    return [(f.index + 0.5, f.index + 1.5) for f in diagnosis.slices], False


def _bar(x: tuple[float, float], height: float, base: float) -> str:
    """One bar as a piece of an SVG path; a hair of white between bars that are wide enough."""
    gap = 0.6 if x[1] - x[0] > 3 else 0.0
    return f"M{x[0] + gap / 2:.1f} {base:g}V{base - height:.1f}H{x[1] - gap / 2:.1f}V{base:g}Z"


def _share_height(finding: SliceFinding, top_percent: float) -> float:
    return 100 * (finding.lesion_share or 0.0) / top_percent * _LOWER


def _nice_top(share: float) -> float:
    """Upper end of the share axis in percent."""
    percent = 100 * share
    return next((v for v in (1.0, 2.0, 5.0, 10.0, 20.0, 50.0) if percent <= v), 100.0)


def _nice_ticks(low: float, high: float, most: int) -> list[float]:
    """Round values between `low` and `high`, no more than `most`."""
    raw = (high - low) / most
    power = 10.0 ** np.floor(np.log10(raw))
    step = max(next(m * power for m in (1, 2, 5, 10) if m * power >= raw), 1.0)
    return [float(v) for v in np.arange(np.ceil(low / step) * step, high + 1e-9, step)]


def _label(value: float) -> str:
    return f"{round(value, 6) + 0.0:g}".replace("-", "\u2212")  # + 0.0: no minus zero


def threshold_curve(rule: RuleOutcome) -> ThresholdCurve:
    """Lay out infected slices against thresholds. The axis ends soon after the largest threshold."""
    largest = max([rule.threshold, *(step.threshold for step in rule.curve), 1.0])
    end = max(1.15 * largest, min(1.05 * rule.infected_slices, 2 * largest))
    scale = (_RIGHT - _LEFT) / end
    used = min(rule.curve, key=lambda step: abs(step.threshold - rule.threshold), default=None)
    dots: list[ThresholdDot] = []
    last_label = -np.inf
    for step in rule.curve:
        at = _LEFT + step.threshold * scale
        labelled = at - last_label >= 24 or step is used
        last_label = at if labelled else last_label
        dots.append(ThresholdDot(at, step.paper_threshold, step.positive, step is used, labelled))
    return ThresholdCurve(
        count_at=min(_LEFT + rule.infected_slices * scale, _RIGHT),
        beyond=rule.infected_slices > end,
        threshold_at=_LEFT + rule.threshold * scale,
        dots=tuple(dots),
        ticks=tuple(Tick(_LEFT + v * scale, _label(v)) for v in _nice_ticks(0, end, 10)),
    )


def stability(rule: RuleOutcome) -> str:
    """One sentence: at which thresholds of the paper the verdict would be another."""
    if not rule.curve:
        return ""
    positive = [step.paper_threshold for step in rule.curve if step.positive]
    negative = [step.paper_threshold for step in rule.curve if not step.positive]
    if not negative:
        return f"The verdict is positive at every threshold from {min(positive)} to {max(positive)}."
    if not positive:
        return f"The verdict is negative at every threshold from {min(negative)} to {max(negative)}."
    return f"The verdict is positive at thresholds up to {max(positive)} and negative from {min(negative)} on."
