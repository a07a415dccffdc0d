"""Update the page's gettext catalogues from the sources: `make messages`.

A message's id is its English text. New messages come without a translation, messages that are gone are dropped.
"""

from collections.abc import Iterator
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir, extract_from_file
from babel.messages.pofile import read_po, write_po

ROOT = Path(__file__).parents[1]
LOCALE = ROOT / "stream" / "ui" / "locale"
# Whatever can bring a message to the page.
SOURCES = (
    "engine/files.py",
    "engine/few_shot.py",
    "engine/few_shot_file.py",
    "engine/heads.py",
    "engine/runtimes/batching.py",
    "engine/runtimes/select.py",
    "engine/cuda/device.py",
    "engine/cuda/driver.py",
    "stream/coding.py",
    "stream/faces/quality.py",
    "stream/sources",
    "stream/spotter/flow_backend.py",
    "stream/store",
    "stream/teaching_preview.py",
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
    "_note": (1,),
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
    with redirect_stderr(StringIO()):  # Babel warns of every f-string in a call, though it be a value
        for source in SOURCES:
            for file, message in extract_from(ROOT / source):
                catalog.add(message, locations=[(file.relative_to(ROOT).as_posix(), None)])
    return catalog


def extract_from(path: Path) -> Iterator[tuple[Path, str | tuple[str, ...]]]:
    """Each message of a file or folder, and the file that has it."""
    if path.is_dir():
        for name, _, message, *_ in extract_from_dir(path, METHODS, OPTIONS, keywords=KEYWORDS):
            yield path / name, message
    else:
        for _, message, *_ in extract_from_file("python", path, keywords=KEYWORDS):
            yield path, message


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
