"""Training on a user's own folder: what is left behind, and what is refused before the first step."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from jcs_ct.datasets.own import TABLE, read_own
from jcs_ct.errors import OverlapError
from jcs_ct.training.checks import check_sources
from jcs_ct.training.config import BatchGroup, TrainConfig
from jcs_ct.weights import SHIPPED
from tests import own_data
from tests.command_line import CommandLine
from tests.own_data import COLUMNS, Row
from tests.phantoms import to_grey

SMALL = """
task: {task}
steps: 2
input_size: [64, 80]
validate_every: 2
learning_rate: 1.0e-3
ema: null
init: {{{task}: shipped}}
batch:
  - {{count: 2, sources: [{source}], kind: {kind}}}
"""


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def small_config(folder: Path, task: str, kind: str = "any", source: str = "own") -> Path:
    path = folder / "small.yaml"
    path.write_text(SMALL.format(task=task, kind=kind, source=source), encoding="utf-8")
    return path


def largest_change(weights: Path, name: str, prefix: str = "") -> float:
    """How far the convolutions of a run lie from those that ship."""
    after, before = load_file(weights), load_file(SHIPPED / f"{name}.safetensors")
    kernels = [key for key, value in before.items() if value.ndim == 4]
    assert kernels
    return max(float((after[prefix + key].float() - before[key].float()).abs().max()) for key in kernels)


@pytest.mark.parametrize("task", ["classifier", "segmenter", "joint"])
def test_own_pictures_teach_what_ships_further_without_a_config(
    task: str, pictures: Path, cache: Path, tmp_path: Path, jcs: CommandLine
) -> None:
    out = tmp_path / "run"
    ended = jcs(
        "train", task, "--data", pictures, "-o", out, "--cache", cache, "--steps", "1", "--device", "cpu"
    )  # fmt: skip
    assert ended.code == 0, ended.err
    weights = out / f"{task}.safetensors"
    assert ended.out == f"weights: {weights}\n"
    assert math.isfinite(json.loads((out / "summary.json").read_text())["best"])
    for name in ("classifier", "segmenter") if task == "joint" else (task,):
        prefix = f"{name}." if task == "joint" else ""
        assert largest_change(weights, name, prefix) < 0.01  # one step from where it started, and not from random
    (out / "checkpoints" / "best.ckpt").unlink()


@pytest.mark.parametrize(("task", "kind"), [("segmenter", "outlined"), ("classifier", "any")])
def test_whole_studies_are_trained_on(
    task: str, kind: str, studies: Path, cache: Path, tmp_path: Path, jcs: CommandLine
) -> None:
    out, config = tmp_path / "run", small_config(tmp_path, task, kind)
    ended = jcs(
        "train", task, "--config", config, "--data", studies, "-o", out, "--cache", cache, "--device", "cpu"
    )  # fmt: skip
    assert ended.code == 0, ended.err
    weights = load_file(out / f"{task}.safetensors")
    assert all(bool(torch.isfinite(value).all()) for value in weights.values())
    assert largest_change(out / f"{task}.safetensors", task) > 0.0001  # two steps moved it
    assert math.isfinite(json.loads((out / "summary.json").read_text())["best"])


def test_own_data_are_mixed_with_a_public_source_by_their_folders_name(
    pictures: Path, cache: Path, tmp_path: Path, jcs: CommandLine
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "ours").symlink_to(pictures)
    (data / "mosmed-slices").mkdir()
    for label, infected in (("covid", True), ("non-covid", False)):
        for k, name in enumerate(("study_1.png", "study_38.png")):
            image = to_grey(own_data.patient(90 + k, infected)[0][8])
            own_data.save(data / "mosmed-slices" / label / name, image)
    config = small_config(tmp_path, "classifier", source="ours, mosmed-slices")
    ended = jcs(
        "train", "classifier", "--config", config, "--data", data, "-o", tmp_path / "run", "--cache", cache,
        "--device", "cpu",
    )  # fmt: skip
    assert ended.code == 0, ended.err
    assert (tmp_path / "run" / "classifier.safetensors").exists()


def test_a_split_that_was_made_is_left_beside_the_run_as_a_table(tmp_path: Path, jcs: CommandLine) -> None:
    folder, out = tmp_path / "mine", tmp_path / "run"
    rows = [own_data.picture(folder, 20 + k, k % 2 == 0, "") for k in range(8)]
    own_data.write_table(folder, rows, [name for name in COLUMNS if name != "split"])
    ended = jcs(
        "train", "classifier", "--config", small_config(tmp_path, "classifier"), "--data", folder, "-o", out,
        "--device", "cpu",
    )  # fmt: skip
    assert ended.code == 0, ended.err
    made = read_own(folder, "mine").records
    (out / "slices-mine.csv").replace(folder / TABLE)
    kept = read_own(folder, "mine")
    assert not kept.split_was_made
    assert kept.records == made
    assert {record.split for record in made} == {"train", "val", "test"}


# ------------------------------------------------------------------------------------------------------ refusals


def copied(folder: Path, rows: list[Row]) -> str:
    """A training picture, mirrored, under another patient's name among those that validate."""
    with Image.open(folder / rows[0].path) as image:
        image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(folder / "copy.png")
    rows.append(Row("copy.png", "someone else", "val", "1"))
    return (
        "found 1 pairs of near-identical slices in different splits: own, line 2: p0-0.png (train) and "
        "own, line 20: copy.png (val)"
    )


def shared_patient(folder: Path, rows: list[Row]) -> str:
    del folder
    rows[-1].patient = rows[0].patient
    return f"{TABLE}: found 1 patients in two splits: patient 0 (train in line 2, test in line 19)"


def renamed_file(folder: Path, rows: list[Row]) -> str:
    (folder / "again.png").write_bytes((folder / rows[0].path).read_bytes())
    rows.append(Row("again.png", "someone else", "val", "1"))
    return "found 1 files that lie in two splits under two names: p0-0.png (train, line 2) and again.png (val, line 20)"


def no_masks_to_choose_by(folder: Path, rows: list[Row]) -> str:
    del folder
    for row in rows:
        row.mask = "" if row.split == "val" else row.mask
    return "own: the split 'val' has no slice with an outlined opacity (2 with an empty mask), but the segmenter needs"


def nobody_to_choose_by(folder: Path, rows: list[Row]) -> str:
    del folder
    rows[:] = [row for row in rows if row.split != "val"]
    return "found no validation slices whose mask is known, expected some to choose the checkpoint by"


@pytest.mark.parametrize("spoil", [copied, shared_patient, renamed_file, no_masks_to_choose_by, nobody_to_choose_by])
def test_what_a_run_would_fool_itself_by_is_refused_before_it_begins(
    spoil: Callable[[Path, list[Row]], str], tmp_path: Path, jcs: CommandLine
) -> None:
    folder, out = tmp_path / "mine", tmp_path / "run"
    rows = own_data.write_own(folder)
    message = spoil(folder, rows)
    own_data.write_table(folder, rows)
    config = small_config(tmp_path, "segmenter", "outlined")
    ended = jcs("train", "segmenter", "--config", config, "--data", folder, "-o", out)
    assert message in ended.refusal()
    drawn = ["similar.png"] if spoil is copied else []
    assert [path.name for path in out.glob("*")] == drawn


def test_a_classifier_needs_both_labels(tmp_path: Path, jcs: CommandLine) -> None:
    folder = tmp_path / "mine"
    rows = [row for row in own_data.write_own(folder) if row.split != "train" or row.infected == "1"]
    own_data.write_table(folder, rows)
    config = small_config(tmp_path, "classifier")
    ended = jcs("train", "classifier", "--config", config, "--data", folder, "-o", tmp_path / "run")
    assert "own: the split 'train' has 4 infected and 0 uninfected slices, but the classifier needs both" in (
        ended.refusal()
    )


def test_a_label_that_the_mask_contradicts_is_refused_with_its_line(tmp_path: Path, jcs: CommandLine) -> None:
    folder = tmp_path / "mine"
    rows = own_data.write_own(folder)
    rows[0].infected = "0"
    own_data.write_table(folder, rows)
    config = small_config(tmp_path, "classifier")
    ended = jcs("train", "classifier", "--config", config, "--data", folder, "-o", tmp_path / "run")
    assert ended.refusal().startswith("own, line 2: p0-0.png: labelled uninfected, but its mask p0-0.png marks")


def test_a_folder_without_a_table_is_refused(tmp_path: Path, jcs: CommandLine) -> None:
    ended = jcs("train", "segmenter", "--data", tmp_path, "-o", tmp_path / "run")
    assert ended.refusal().startswith(f"found no {TABLE} in {tmp_path}, expected own data there")


def test_tasks_without_settings_for_own_data_need_a_config(pictures: Path, tmp_path: Path, jcs: CommandLine) -> None:
    ended = jcs("train", "encoder", "--data", pictures, "-o", tmp_path / "run")
    assert "expected one for encoder: settings for own data come with classifier, joint, segmenter only" in (
        ended.refusal()
    )


def test_two_forms_of_one_public_set_on_two_sides_are_refused() -> None:
    one, other = "covid-19-ct100", "covid-semiseg"
    with pytest.raises(OverlapError, match="they are the same slices"):
        check_sources(TrainConfig("segmenter", (BatchGroup(1, (one,)),), 1, validation=(other,)))
    with pytest.raises(OverlapError, match="they are the same slices"):
        check_sources(TrainConfig("segmenter", (BatchGroup(1, (one, other)),), 1))
    check_sources(TrainConfig("segmenter", (BatchGroup(1, (one, "sars-cov-2-ct")),), 1, validation=(one,)))
