"""Update the page's gettext catalogues from the sources: `make messages`.

A message's id is its English text. New messages come without a translation, messages that are gone are dropped.
"""

from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir, extract_from_file
from babel.messages.pofile import read_po, write_po

ROOT = Path(__file__).parents[1]
LOCALE = ROOT / "stream" / "ui" / "locale"
# Whatever can bring a message to the page.
SOURCES = (
    "stream/faces/quality.py",
    "stream/sources",
    "stream/store",
    "stream/ui",
)
METHODS = [("**.py", "python"), ("**.js", "javascript")]
OPTIONS = {"**.js": {"parse_template_string": "true"}}
# The calls whose first argument is a message; with two numbers, singular and plural.
KEYWORDS: dict[str, tuple[int, ...] | None] = {
    "UserError": (1,),
    "DeviceError": (1,),
    "Failure": (1,),
    "Message": (1,),
    "localized": (2,),
    "t": (1,),
    "m.t": (1,),
    "m.id": (1,),
    "merau.t": (1,),
    "merau.id": (1,),
    "m.plural": (1, 2),
}


def extract() -> Catalog:
    """All messages of the sources."""
    catalog = Catalog(project="merau-live")
    for source in SOURCES:
        path = ROOT / source
        if path.is_dir():
            found = extract_from_dir(path, METHODS, OPTIONS, keywords=KEYWORDS)
        else:
            found = ((path.name, *message) for message in extract_from_file("python", path, keywords=KEYWORDS))
        for name, _, message, *_ in found:
            catalog.add(message, locations=[(f"{source}/{name}" if path.is_dir() else source, None)])
    return catalog


def read(path: Path) -> Catalog:
    """The catalogue of one language; `path` is LOCALE/LANGUAGE/LC_MESSAGES/merau.po."""
    with path.open("rb") as file:
        return read_po(file, locale=path.parts[-3])


def main() -> None:
    """Bring each language's catalogue up to date and count what is left to translate."""
    template = extract()
    for path in sorted(LOCALE.glob("*/LC_MESSAGES/merau.po")):
        catalog = read(path)
        template.creation_date = catalog.creation_date  # no change without a reason
        catalog.update(template, no_fuzzy_matching=True)
        with path.open("wb") as file:
            write_po(file, catalog, width=100, sort_by_file=True, ignore_obsolete=True, include_lineno=False)
        missing = [message.id for message in catalog if message.id and not message.string]
        print(f"{path.relative_to(ROOT)}: {len(catalog)} messages, {len(missing)} without a translation")


if __name__ == "__main__":
    main()
