"""`merau-lab prepare`: turn a data set's release into a flow set."""

import argparse
from pathlib import Path
from typing import Any

from merau.trainers.commands.options import add_command


def add_parser(commands: Any) -> None:
    """Add the parser to argparse's subparsers `commands`."""
    parser = add_command(commands, "prepare", "turn a data set's release into a flow set for the other commands", run)
    about = "casme2, smic-hs, samm, ..., or csv for your own clips (any other name lists all of them)"
    parser.add_argument("release", help=about)
    about = "folder of the unpacked release, with its sheet and its frames; for csv, the table of your clips"
    parser.add_argument("folder", type=Path, help=about)
    about = "folder of the flow set; several releases may share it"
    parser.add_argument("--out", type=Path, required=True, help=about)
    parser.add_argument("--kind", default="micro", help="expressions: micro, macro or both (default: %(default)s)")
    about = "optical flow method: dis or farneback (default: %(default)s)"
    parser.add_argument("--flow", default="dis", help=about)
    parser.add_argument("--as-published", action="store_true", help="apply no correction to the sheet")
    about = "corrections to leave out"
    parser.add_argument("--without", nargs="+", default=[], metavar="ROW:COLUMN", help=about)
    about = "how to read what the sheet leaves open (any other name lists the choices)"
    parser.add_argument("--with", dest="readings", nargs="+", default=[], metavar="READING", help=about)
    about = "MEGC2019's combined_3class_gt.csv: keep only the clips it lists, with the classes and names it gives"
    parser.add_argument("--cde", type=Path, metavar="LIST", help=about)


def run(options: argparse.Namespace) -> None:
    """Prepare the release and print a summary."""
    from merau.trainers.data import cde, prepare
    from merau.trainers.data.releases.release import Corrections

    corrections = Corrections(not options.as_published, frozenset(options.without), frozenset(options.readings))
    settings = prepare.PrepareSettings(options.kind, options.flow)
    release = prepare.load(options.release, options.folder, corrections)
    if options.cde:
        release = cde.select(release, options.cde)
    prepared = prepare.prepare(release, options.out, settings)
    print(prepare.summary(prepared)[0])
    if options.cde:
        print(prepared.notes[0])
    print(f"Corrections and clips left out, with reasons: {options.out / 'report.txt'}")
