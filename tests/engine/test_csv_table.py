"""CSV files as spreadsheets save them."""

import os
import re

import pytest

from merau.engine.csv_table import MAX_BYTES, parse_decimal, read_csv
from merau.engine.errors import UserError

PLAIN = "label,file\r\ntense,a.mp4\r\nÜber mut,b.mp4\r\n"
ROWS = [(2, {"label": "tense", "file": "a.mp4"}), (3, {"label": "Über mut", "file": "b.mp4"})]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_read_csv_any_encoding_and_separator(encoding, separator, tmp_path):
    path = tmp_path / "table.csv"
    path.write_bytes(PLAIN.replace(",", separator).encode(encoding))
    table = read_csv(path)
    assert table.rows(("label", "file")) == ROWS
    assert bool(table.notes) == (encoding == "cp1252")


@pytest.mark.parametrize(
    "text",
    [
        PLAIN.replace("\r\n", "\n"),
        PLAIN.replace("\r\n", "\r"),
        PLAIN.replace("label,file", "Label , FILE,,") + ",,,\r\n\r\n",
        PLAIN.replace(",", ";") + ";;;\r\n",
        PLAIN.replace("tense,a.mp4", ' "tense", a.mp4'),
    ],
)
def test_read_csv_blank_cells_and_line_ends(text, tmp_path):
    path = tmp_path / "table.csv"
    path.write_text(text, encoding="utf-8", newline="")
    rows = [(line, {key: cell for key, cell in row.items() if key}) for line, row in read_csv(path).rows(("file",))]
    assert rows == ROWS


@pytest.mark.parametrize(("text", "line"), [("sep=;\r\nlabel;file\r\na,b;c\r\n", 3), (';\n\nlabel;file\n"a,b";c\n', 4)])
def test_read_csv_lines_before_the_header(text, line, tmp_path):
    path = tmp_path / "table.csv"
    path.write_text(text, newline="")
    assert read_csv(path).rows(()) == [(line, {"label": "a,b", "file": "c"})]


def test_read_csv_line_number_after_a_cell_of_two_lines(tmp_path):
    (tmp_path / "table.csv").write_text('label,file\n"a\nb",c\nd,e\n')
    assert [line for line, _ in read_csv(tmp_path / "table.csv").rows(())] == [2, 4]


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"label,file\nx,3,2\n", "line 2 has 3 cells, its first line names 2"),
        (b"label,file\nx\n", "line 2 has 1 cells"),
        (b"label,file,Label\n", "names label twice"),
        (b'label,file\n"x,y\nz,w\n', "cannot be read as CSV: line 2"),
        (b"label,file\n\x81\xff,b\n", "not a CSV in UTF-8"),
    ],
)
def test_read_csv_damaged_row_is_named(data, error, tmp_path):
    (tmp_path / "table.csv").write_bytes(data)
    with pytest.raises(UserError, match=error):
        read_csv(tmp_path / "table.csv").rows(("label", "file"))


def test_read_csv_refuses_pipes_and_huge_files(tmp_path):
    pipe, huge = tmp_path / "pipe.csv", tmp_path / "huge.csv"
    os.mkfifo(pipe)
    with huge.open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    for path, reason in ((pipe, "it is not a file"), (huge, "it is larger than 32 MB")):
        with pytest.raises(UserError, match=f"{path.name} cannot be read: {reason}"):
            read_csv(path)


def test_parse_decimal_refuses_what_is_no_plain_number():
    assert [parse_decimal(text) for text in ("3,2", "3.2", "12", ",5", "1,5E+01")] == [3.2, 3.2, 12, 0.5, 15]
    for text in (" ", "1.234,5", "nan", "inf", "1_0", "1e999", "0x1", "05. Apr", "ca. 3"):
        with pytest.raises(ValueError, match=re.escape(text)):
            parse_decimal(text)
