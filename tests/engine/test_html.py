import sys

import pytest
from jinja2 import UndefinedError

from merau.engine.html import render


@pytest.fixture
def package(tmp_path, monkeypatch):
    folder = tmp_path / "toy_pages"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "page.css").write_text("b > i { color: red }")
    (folder / "page.html.j2").write_text('<style>{% include "page.css" %}</style><p>{{ name }}</p>\n')
    monkeypatch.syspath_prepend(tmp_path)
    yield folder.name
    sys.modules.pop(folder.name, None)


def test_render_escapes_values_and_includes_styles(package):
    page = render(package, "page.html.j2", name="<b>")
    assert page == "<style>b > i { color: red }</style><p>&lt;b&gt;</p>\n"


def test_render_refuses_a_missing_value(package):
    with pytest.raises(UndefinedError, match="name"):
        render(package, "page.html.j2")
