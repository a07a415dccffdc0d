"""HTML pages from Jinja2 templates."""

from functools import lru_cache

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from merau.engine.text import plain_lines


def render(package: str, template: str, **values: object) -> str:
    """Fill a template that lies in the folder of `package`; values are escaped, unknown names are errors.

    A style sheet beside the template becomes part of the page by `{% include "report.css" %}`.

    Args:
        package: Import name of the package, "merau.stream.report".
        template: File name of the template, "report.html.j2".
        **values: What the template shows; functions may be called in it.
    """
    return _environment(package).get_template(template).render(**values)


@lru_cache
def _environment(package: str) -> Environment:
    return Environment(
        loader=PackageLoader(package, "."),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_plain,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def _plain(value: object) -> object:
    """Clean what is filled in, so that every page can be written and read."""
    return plain_lines(value) if isinstance(value, str) and not isinstance(value, Markup) else value
