"""What an export holds, and where it will lie."""

from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from merau.engine.validation import check_choice, check_range
from merau.stream.csv_style import CsvStyle
from merau.stream.events import Labels


@dataclass(frozen=True)
class ExportSettings:
    """How events are exported.

    Attributes:
        labels: Whose word the export has: the machine's, both in separate columns or tiers, or only the coders'.
        slowdown: Film seconds for each second of captured time; formats that lie beside a film count film seconds.
        folder: Where the file will lie, from where an ELAN file finds its recording; None if that is not known.
        csv: How a CSV is written.
    """

    labels: Labels = "both"
    slowdown: float = 1.0
    folder: Path | None = None
    csv: CsvStyle = CsvStyle()

    def __post_init__(self) -> None:
        check_choice(self, "labels", get_args(Labels))
        check_range(self, "slowdown", above=0)
