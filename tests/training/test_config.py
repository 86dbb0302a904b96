"""Settings: what is wrong is said at once, with the file's name."""

from __future__ import annotations

from pathlib import Path

import pytest

from jcs_ct.errors import UsageError
from jcs_ct.training.config import AugmentSettings, BatchGroup, TrainConfig, load_config

GOOD = """
task: segmenter
steps: 900
learning_rate: 1.5e-3
augment: {rotate: 5, scale: [0.8, 1.2]}
batch:
  - {count: 4, sources: [covid-19-ct100], kind: masked}
  - {count: 2, sources: [sars-cov-2-ct, mosmed-slices], kind: uninfected}
validation: [covid-19-ct100]
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "run.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_file_becomes_settings(tmp_path: Path) -> None:
    config = load_config(written(tmp_path, GOOD))
    assert config.batch[1] == BatchGroup(2, ("sars-cov-2-ct", "mosmed-slices"), "uninfected")
    assert config.augment == AugmentSettings(rotate=5, scale=(0.8, 1.2))
    assert (config.batch_size, config.learning_rate, config.validation) == (6, 0.0015, ("covid-19-ct100",))


def test_overrides_win_unless_they_are_none(tmp_path: Path) -> None:
    config = load_config(written(tmp_path, GOOD), steps=3, seed=None)
    assert (config.steps, config.seed) == (3, 0)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("task: segmenter", "task: segmentor", "found task 'segmentor', expected one of classifier, segmenter"),
        ("steps: 900", "steps: 0", "expected steps >= 1"),
        ("steps: 900", "steps: many", "found steps: 'many', expected int"),
        ("steps: 900", "steps: 900\nsize: papper", "found size 'papper', expected one of paper, default"),
        ("steps: 900", "steps: 900\nschedule: cosine", "found schedule 'cosine', expected one of onecycle"),
        ("steps: 900", "steps: 900\noptimiser: adamx", "found optimiser 'adamx', expected one of adamw"),
        ("steps: 900", "steps: 900\nlearning_rat: 1", "unknown settings learning_rat"),
        ("steps: 900", "steps: 900\ninput_size: [224]", "expected height and width"),
        ("steps: 900", "steps: 900\nvalidate_every: 0", "expected at least 1"),
        ("steps: 900", "steps: 900\nnetwork: unet9", "found network 'unet9', expected one of segmenter, "),
        ("steps: 900", "steps: 900\nfrozen_blocks: 6", "found frozen_blocks 6, expected 0 to 5"),
        ("steps: 900", "steps: 900\npseudo_size: huge", "found pseudo_size 'huge', expected one of paper"),
        ("task: segmenter", "task: backbone\nsize: teacher", "found size 'teacher' for backbone segmenter"),
        ("steps: 900", "steps: 900\nmixing: -1", "found mixing -1, expected alpha >= 0"),
        ("1.5e-3", "1e-3", "found learning_rate: '1e-3', expected float; YAML reads 1e-3 as text"),
        ("[covid-19-ct100], kind", "covid-19-ct100, kind", "found sources: 'covid-19-ct100', expected tuple"),
        ("kind: masked", "kind: painted", "found kind of a batch group 'painted'"),
        ("count: 4", "count: 0", "expected count >= 1"),
        ("count: 4, ", "", "missing 1 required positional argument: 'count'"),
        ("kind: masked", "kind: masked, pseudo: true", "`pseudo_masks` names no segmenter weights"),
        ("rotate: 5", "turn: 5", "unexpected keyword argument 'turn'"),
        ("augment: {rotate: 5, scale: [0.8, 1.2]}", "augment: [1]", "run.yaml"),
        (GOOD, "- 1", "expected a mapping of settings, found list"),
        (GOOD, "a: [", "cannot read the config"),
    ],
)
def test_what_is_wrong_is_said_with_the_files_name(old: str, new: str, message: str, tmp_path: Path) -> None:
    assert old in GOOD
    path = written(tmp_path, GOOD.replace(old, new))
    with pytest.raises(UsageError) as caught:
        load_config(path)
    assert message in str(caught.value)
    assert "run.yaml" in str(caught.value)


def test_a_missing_file_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot read the config .*nowhere\.yaml"):
        load_config(tmp_path / "nowhere.yaml")


def test_settings_are_checked_when_made() -> None:
    with pytest.raises(UsageError, match="at least one batch group"):
        TrainConfig("segmenter", (), 1)


@pytest.mark.parametrize("path", sorted(Path(__file__).parents[2].glob("configs/**/*.yaml")), ids=str)
def test_the_configs_that_ship_are_read(path: Path) -> None:
    assert load_config(path).batch
