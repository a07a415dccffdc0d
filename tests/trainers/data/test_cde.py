"""MEGC2019's composite database."""

from dataclasses import replace

import pytest

from merau.engine.errors import UserError
from merau.trainers.data import cde
from merau.trainers.data.prepare import load
from tests.trainers.data.releases.layouts import LAYOUTS, MAKE, casme2, one


@pytest.mark.parametrize(
    ("name", "line"), [("casme2", "casme2,sub01,EP02_01f"), ("smic-hs", "smic,s03,s03_po_05"), ("samm", "samm,6,6_1_2")]
)
def test_select_ignores_padding_of_numbers(name, line, tmp_path):
    LAYOUTS[name](tmp_path)
    text = f"{line},2\n,,,\nother,sub01,EP02_01f,0\n".replace(",", ";")
    (tmp_path / "list.csv").write_text(text, encoding="utf-16")  # as a spreadsheet may save it
    sample = one(cde.select(load(name, tmp_path, MAKE), tmp_path / "list.csv"))
    assert ",".join((sample.dataset, sample.subject, sample.name)) == line
    assert sample.label == "surprise"


def test_select_wrong_list_is_explained(tmp_path):
    casme2(tmp_path)
    release, listed = load("casme2", tmp_path, MAKE), tmp_path / "list.csv"
    for text, sentence in (
        ("casme2,sub01,EP02_01f\n", "line 1: expected a line like casme2,sub01,EP02_01f,1"),
        ("casme2,sub01,EP02_01f,\n", "line 1: expected a line like"),
        ("casme2,sub01,EP02_01f,3\n", "label is '3'"),
        ("smic,s1,s1_ne_01,0\n", "lists no clip of casme2"),
    ):
        listed.write_text(text)
        with pytest.raises(UserError, match=sentence):
            cde.select(release, listed)
    with pytest.raises(UserError, match="cannot be read"):
        cde.select(release, tmp_path / "none.csv")
    with pytest.raises(UserError, match="CDE has no clip of smic-vis"):
        cde.select(replace(release, dataset="smic-vis"), listed)
