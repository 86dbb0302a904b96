"""The checks of `jcs doctor`. None of them changes anything, and none needs a network."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement

from jcs_ct._version import __version__
from jcs_ct.doctor.facts import Facts, normal_name
from jcs_ct.errors import UsageError, WeightsError
from jcs_ct.jobs.patched import missing_patches
from jcs_ct.weights import read_manifest

SELF = "jcs-ct"
_FOR_DEVELOPERS = frozenset({"test", "dev"})
_SHOWN = (
    "sse4_2", "avx", "avx2", "fma", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8", "amx_bf16", "asimd", "sve",
)  # fmt: skip
_X86 = frozenset({"x86_64", "amd64"})


class State(StrEnum):
    """What a finding means; the worst of all makes the exit code."""

    OK = "ok"
    HINT = "hint"
    """Something that is not there and not needed."""
    WARNING = "warning"
    """It works, but slower or less safely than it could."""
    FAULT = "fault"
    """Diagnoses fail or cannot be trusted."""


EXIT_CODES = {State.OK: 0, State.HINT: 0, State.WARNING: 5, State.FAULT: 4}


@dataclass(frozen=True)
class Finding:
    """What a check found."""

    state: State
    about: str
    text: str


def examine(facts: Facts, weights: Path, needs: Collection[str] = ()) -> Iterator[Finding]:
    """All checks but the test on the phantom.

    Args:
        facts: Of the computer.
        weights: Folder of the weights.
        needs: Extras whose absence is a fault, and no hint.

    Raises:
        UsageError: There is no extra of such a name.
    """
    extras = _extras(facts)
    if unknown := sorted(set(needs) - set(extras)):
        raise UsageError(f"--needs: found {', '.join(unknown)}, expected some of {', '.join(extras)}")
    yield from check_python(facts)
    yield from check_processor(facts)
    yield from check_packages(facts)
    for extra in extras:
        yield check_extra(facts, extra, extra in needs)
    yield from check_weights(weights)


def worst(findings: Collection[Finding]) -> State:
    """The worst state of all."""
    order = list(State)
    return max((each.state for each in findings), key=order.index, default=State.OK)


def check_python(facts: Facts) -> Iterator[Finding]:
    """Version of JCS and of Python."""
    version = ".".join(map(str, facts.python))
    yield Finding(State.OK, "versions", f"JCS {__version__}, Python {version}, {facts.system}")
    if (advice := missing_patches(facts.python)) is not None:
        yield Finding(State.WARNING, "python", advice)


def check_processor(facts: Facts) -> Iterator[Finding]:
    """Cores, memory and sets of instructions."""
    memory = "memory unknown" if facts.memory_bytes is None else f"{facts.memory_bytes / 1024**3:.1f} GiB of memory"
    yield Finding(State.OK, "computer", f"{facts.processor}, {facts.cores} cores, {memory}")
    if facts.instructions is None:
        yield Finding(State.HINT, "instructions", "the system does not tell which sets of instructions it has")
    elif facts.processor.lower() in _X86 and "avx2" not in facts.instructions:
        yield Finding(
            State.WARNING,
            "instructions",
            "this processor has no AVX2 (a virtual machine may hide it): networks take several times longer, and JCS "
            "was not tested there",
        )
    else:
        yield Finding(State.OK, "instructions", ", ".join(each for each in _SHOWN if each in facts.instructions))


def check_packages(facts: Facts) -> Iterator[Finding]:
    """What diagnosing needs."""
    if not facts.requirements:
        yield Finding(State.FAULT, "packages", "JCS is not installed as a package: pip install .")
        return
    wrong = _wrong(facts, None)
    if wrong:
        yield Finding(State.FAULT, "packages", f"{'; '.join(wrong)}: install JCS anew (pip install {SELF})")
    else:
        names = [each.name for each in _required(facts, None)]
        yield Finding(State.OK, "packages", f"all {len(names)} that diagnosing needs")


def check_extra(facts: Facts, extra: str, needed: bool) -> Finding:
    """What an extra brings."""
    wrong = _wrong(facts, extra)
    if not wrong:
        return Finding(State.OK, f"extra {extra}", "installed")
    advice = f"{'; '.join(wrong)}: pip install '{SELF}[{extra}]'"
    return Finding(State.FAULT if needed else State.HINT, f"extra {extra}", advice)


def check_weights(folder: Path) -> Iterator[Finding]:
    """Every file of the weights against its recorded digest."""
    try:
        rows = read_manifest(folder)
    except WeightsError as error:
        yield Finding(State.FAULT, "weights", str(error))
        return
    for name, row in rows.items():
        try:
            row.check()
        except WeightsError as error:
            yield Finding(State.FAULT, f"weights {name}", str(error))
        else:
            used = row.exact if row.quantised is None else row.quantised
            yield Finding(State.OK, f"weights {name}", f"{used.path.name}, SHA-256 {used.sha256}")


def _extras(facts: Facts) -> list[str]:
    """Names of the extras that users may want, as the requirements mention them."""
    found = {word for each in _parsed(facts) for word in _extra_of(each)}
    return sorted(found - _FOR_DEVELOPERS)


def _parsed(facts: Facts) -> list[Requirement]:
    found = []
    for line in facts.requirements:
        try:
            found.append(Requirement(line))
        except InvalidRequirement as error:
            raise UsageError(f"the metadata of {SELF} cannot be read ({line!r}): install it anew") from error
    return found


def _extra_of(requirement: Requirement) -> list[str]:
    """The extra that a requirement belongs to; none for one that is always needed."""
    marker = str(requirement.marker or "")
    _, found, rest = marker.partition('extra == "')
    return [rest.partition('"')[0]] if found else []


def _required(facts: Facts, extra: str | None) -> list[Requirement]:
    """Requirements of an extra, or of JCS itself if None, that hold on this computer."""
    found: list[Requirement] = []
    for each in _parsed(facts):
        if _extra_of(each) != ([] if extra is None else [extra]):
            continue
        if each.marker is not None and not each.marker.evaluate({"extra": extra or ""}):
            continue
        if normal_name(each.name) == SELF:  # an extra that includes another one
            found += [one for inner in sorted(each.extras) for one in _required(facts, inner)]
        else:
            found.append(each)
    return found


def _wrong(facts: Facts, extra: str | None) -> list[str]:
    """What is missing, or of another version than expected."""
    wrong = []
    for each in _required(facts, extra):
        version = facts.packages.get(normal_name(each.name))
        if version is None:
            wrong.append(f"{each.name} is missing")
        elif not each.specifier.contains(version, prereleases=True):
            wrong.append(f"found {each.name} {version}, expected {each.specifier}")
    return wrong
