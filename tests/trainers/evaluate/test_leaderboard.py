"""The leaderboard's cells, documents and table."""

import json

import pytest

from merau.engine.bundle import SHIPPED
from merau.engine.errors import UserError
from merau.engine.recognizer import Recognizer
from merau.trainers.evaluate import leaderboard
from merau.trainers.evaluate.run import MODELS

SCORES = {"uf1": 0.61234, "uf1_sd": 0, "uar": 0.7}
DONE = {
    "title": "MERAU", "column": "lodo", "full": SCORES, "seconds": 2.4,
    "by_database": {"a": {"uf1": 0.5, "samples": 4}, "b": {"uf1": 0, "samples": 0}},
}  # fmt: skip
SKIPPED = {"title": "VGG", "column": "lodo", "skipped": "vgg needs frames."}


@pytest.fixture(scope="module")
def bundles():
    return [(SHIPPED / name, Recognizer.load(SHIPPED / name, device="cpu")) for name in ("default", "source")]


def test_titles_name_every_model():
    assert set(leaderboard.TITLES) == set(MODELS)


def test_cells_only_models_of_bundles_run_for_each(bundles):
    wanted = leaderboard.cells(bundles, models=("merau-cd", "logistic"), protocols=("lodo",), tasks=("cde", "hard"))
    cosine, raw = "MERAU (CD), cosine head alone", "logistic regression on raw flow"
    titles = [f"{cosine} (default)"] * 2 + [f"{cosine} (source)"] * 2 + [raw] * 2
    assert [cell.title for cell in wanted] == titles
    assert [cell.column for cell in wanted] == ["lodo, cde", "lodo, hard"] * 3


def test_finished_run_of_other_bundle_or_draws_is_another(bundles):
    def cell(model, which, **settings):
        return leaderboard.cells(bundles[which : which + 1], models=(model,), protocols=("lodo",), **settings)[0]

    documents = [{**cell("merau-cd", 0).key, "title": "old"}, {**cell("logistic", 0).key, "title": "old"}]
    assert leaderboard.finished(cell("merau-cd", 0), documents)["title"] == "MERAU (CD), cosine head alone"
    assert leaderboard.finished(cell("merau-cd", 1), documents) is None
    assert leaderboard.finished(cell("merau-cd", 0, draws=2), documents) is None
    assert leaderboard.finished(cell("logistic", 1), documents) is not None  # it uses no bundle


def test_read_keeps_finished_runs_of_this_set(tmp_path):
    path = tmp_path / "new" / "board.json"
    assert leaderboard.read(path, "abc") == []
    documents = [each | {"set_sha256": "abc"} for each in (DONE, SKIPPED)]
    leaderboard.write(path, documents)
    assert leaderboard.read(path, "abc") == documents[:1]
    assert list(path.parent.iterdir()) == [path]
    with pytest.raises(UserError, match="is the leaderboard of another set"):
        leaderboard.read(path, "abd")


@pytest.mark.parametrize("content", ["{}]", json.dumps([{"uf1": 1}]), "[1]", "3"])
def test_read_other_file_is_refused(content, tmp_path):
    (tmp_path / "board.json").write_text(content)
    with pytest.raises(UserError, match="is not a leaderboard of this version"):
        leaderboard.read(tmp_path / "board.json", "abc")


def test_write_into_a_file_as_folder_is_explained(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        leaderboard.write(tmp_path / "file" / "board.json", [])


def test_line_has_scores_or_reason():
    assert leaderboard.line(DONE) == "MERAU, lodo: UF1 0.612, UAR 0.700 (2 s)"
    assert leaderboard.line(SKIPPED) == "VGG, lodo: not run. vgg needs frames."


def test_cell_text_marks_spread_and_best_epoch():
    assert str(leaderboard.cell_text(DONE)) == "0.612 / 0.700 [0.50]"
    marked = leaderboard.cell_text(DONE | {"full": SCORES | {"uf1_sd": 0.02}, "warning": "best-epoch"})
    assert str(marked) == "0.612 ± 0.020 / 0.700 [0.50] (best epoch)"
    assert str(leaderboard.cell_text(SKIPPED)) == "-"


def test_markdown_has_table_then_notes_once():
    gain = {"full": {"uf1": 0.0041, "uf1_sd": 0.012, "lost": 0.22}}
    table, notes = leaderboard.markdown(
        [DONE, DONE | {"gain": gain, "column": "few-shot"}, SKIPPED, SKIPPED | {"column": "few-shot"}]
    ).split("\n\n")
    assert table.splitlines() == [
        "| model | lodo | few-shot | cost | paper, loso on CDE |",
        "| --- | --- | --- | --- | --- |",
        "| MERAU | 0.612 / 0.700 [0.50] | 0.612 / 0.700 [0.50] | 0.1 min |  |",
        "| VGG | - | - |  |  |",
    ]
    first, printed, gained, *reasons = notes.splitlines()
    assert printed.startswith("The last column is what papers print")
    assert first.startswith("UF1 / UAR over all databases; in brackets UF1 of a, b.")
    assert gained == "MERAU: gain in UF1 over no samples +0.004 ± 0.012, 22% of the draws lose (few-shot)."
    assert reasons == [f"VGG, {column}: vgg needs frames." for column in ("lodo", "few-shot")]
