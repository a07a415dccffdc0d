import io
import json
import locale

import openpyxl
import pandas
import pytest

from merau.stream.cli import main
from tests.stream.study.conftest import MICROS, add_session, study_store  # noqa: F401  (a fixture)

PATTERN = ("--pattern", "{participant}/{condition}")


@pytest.fixture
def summary(study_store, tmp_path):  # noqa: F811
    def run(*options):
        return main(["summary", str(study_store), *PATTERN, "--out", str(tmp_path / "out"), *options])

    return run


def test_summary_writes_the_same_table_in_all_formats(summary, tmp_path, capsys):
    assert summary() == 0
    table = pandas.read_csv(tmp_path / "out/summary.csv")
    micro = table[(table["measure"] == "kind") & (table["name"] == "micro")]
    assert micro["count"].sum() == sum(map(sum, MICROS.values()))
    for other in (
        pandas.read_parquet(tmp_path / "out/summary.parquet"),
        pandas.read_excel(tmp_path / "out/summary.xlsx", sheet_name="summary", engine="openpyxl"),
    ):
        pandas.testing.assert_frame_equal(other, table, check_dtype=False)
    sheets = openpyxl.load_workbook(tmp_path / "out/summary.xlsx").sheetnames
    assert sheets == ["summary", "faces", "groups", "comparison", "events"]
    page = (tmp_path / "out/summary.html").read_text()
    assert "Comparison by condition" in page and "P06 · stress" in page
    assert "12 recordings, 71 events, 12.0 minutes" in capsys.readouterr().out


def test_summary_keeps_tables_that_were_changed(summary, tmp_path, capsys):
    assert summary() == 0
    (tmp_path / "out/summary.csv").write_text("mine")
    assert summary() == 0
    assert (tmp_path / "out/summary.csv").read_text() == "mine"
    assert (tmp_path / "out/summary-2.html").exists()
    assert "The new files are named summary-2" in capsys.readouterr().err
    assert summary("--overwrite") == 0
    assert (tmp_path / "out/summary.csv").read_text() != "mine"
    assert len(list((tmp_path / "out").glob("*.html"))) == 2


def test_csv_for_excel_has_the_decimal_mark_of_the_locale(summary, tmp_path, monkeypatch):
    monkeypatch.setattr(locale, "localeconv", lambda: {"decimal_point": ","})  # as Germans have it
    assert summary("--excel") == 0
    data = (tmp_path / "out/summary.csv").read_bytes()
    assert data.startswith(b"\xef\xbb\xbfsession;")
    table = pandas.read_csv(io.BytesIO(data), sep=";", decimal=",", encoding="utf-8-sig")
    assert table["rate_per_min"].max() == 6


def test_names_are_no_formulas_and_unknown_columns_are_told(study_store, tmp_path, capsys):  # noqa: F811
    from merau.stream.store import Store

    with Store(tmp_path / "merau.db") as store:
        add_session(store, "=1+1.mp4", [])
    assert main(["summary", str(tmp_path), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["faces"][0]["recording"] == "=1+1.mp4"
    sheet = openpyxl.load_workbook(tmp_path / "summary/summary.xlsx")["summary"]
    assert sheet["C2"].value == "'=1+1.mp4"
    assert main(["summary", str(study_store), "--by", "group"]) == 1
    assert "There is no column 'group': choose session, run, recording, face." in capsys.readouterr().err
