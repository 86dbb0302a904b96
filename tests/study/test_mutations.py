"""A small, fixed portion of the fuzz run; experiments/fuzz_reading.py reads as many mutations as wanted."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.study import mixtures, mutations


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> mutations.Inputs:
    return mutations.load(mutations.write_inputs(tmp_path_factory.mktemp("inputs")))


def test_inputs_are_whole_before_they_are_damaged(tmp_path: Path, whole: mutations.Inputs) -> None:
    assert len(whole) >= 16
    for name, content in whole.items():
        (tmp_path / name).write_bytes(content)
        assert mutations.read(tmp_path / name) == ("study", ""), name


def test_mutation_follows_from_its_number_alone(tmp_path: Path, whole: mutations.Inputs) -> None:
    for number in range(20):
        first, second = (mutations.mutated(whole, number, 0, tmp_path / name) for name in "ab")
        contents = [[p.read_bytes() for p in sorted(x.rglob("*")) if p.is_file()] or [x.read_bytes()]
                    for x in (first, second)]  # fmt: skip
        assert contents[0] == contents[1]


def test_no_study_holds_slices_of_two_persons_or_phases(tmp_path: Path) -> None:
    ends = [mixtures.read(mixtures.mixed(number, 0, tmp_path / "input")) for number in range(60)]
    assert [end for end in enumerate(ends) if end[1][0] == "mixture"] == []
    assert {"study", "refused"} == {what for what, _ in ends}


@pytest.mark.slow
@pytest.mark.parametrize("hundred", range(3))
def test_damaged_input_ends_in_an_error_of_ours_or_a_study(
    tmp_path: Path, whole: mutations.Inputs, monkeypatch: pytest.MonkeyPatch, hundred: int
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    ends = []
    for number in range(100 * hundred, 100 * hundred + 100):
        start = time.perf_counter()
        ends.append(mutations.read(mutations.mutated(whole, number, 0, tmp_path / "input"))[0])
        assert time.perf_counter() - start < 10, f"mutation {number}"
        assert list(scratch.iterdir()) == [], f"mutation {number}"
    assert {"study", "refused"} == set(ends)
