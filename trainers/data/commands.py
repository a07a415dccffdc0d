"""The commands of merau-lab that make flow sets: prepare, and synth set."""

import argparse
from pathlib import Path
from typing import Any


def add_commands(commands: Any) -> None:
    """Add the parser to argparse's subparsers `commands`."""
    prepare = commands.add_parser("prepare", help="a release's folder into a flow set that the other commands read")
    prepare.add_argument("release", help="casme2, smic-hs, samm, ... (a wrong name lists them all)")
    prepare.add_argument("folder", type=Path, help="where the release was unpacked: its sheet and its frames")
    prepare.add_argument("--out", type=Path, required=True, help="folder of the flow set, also of several releases")
    prepare.add_argument("--kind", default="micro", help="micro, macro or both (default: %(default)s)")
    prepare.add_argument("--flow", default="dis", help="flow method (default: %(default)s)")
    prepare.add_argument("--as-published", action="store_true", help="make no correction of the sheet")
    prepare.add_argument("--without", nargs="+", default=[], metavar="ROW:COLUMN", help="leave these corrections out")
    about_readings = "make these readings of what the sheet leaves open (a wrong name lists them)"
    prepare.add_argument("--with", dest="readings", nargs="+", default=[], metavar="READING", help=about_readings)
    about_cde = "MEGC2019's list combined_3class_gt.csv: the clips it names alone, classes and names as there"
    prepare.add_argument("--cde", type=Path, metavar="LIST", help=about_cde)
    prepare.set_defaults(run=run_prepare)


def run_prepare(options: argparse.Namespace) -> None:
    from merau.trainers.data import cde, prepare
    from merau.trainers.data.releases.release import Corrections

    corrections = Corrections(not options.as_published, frozenset(options.without), frozenset(options.readings))
    settings = prepare.PrepareSettings(options.kind, options.flow)
    release = prepare.load(options.release, options.folder, corrections)
    if options.cde:
        release = cde.chosen(release, options.cde)
    done = prepare.prepare(release, options.out, settings)
    print(prepare.summary(done)[0])
    if options.cde:
        print(done.notes[0])
    print(f"Corrections, and what was left out and why: {options.out / 'report.txt'}")


def add_synth(synth: Any) -> None:
    """Add `set` to the subparsers of `synth`."""
    made = synth.add_parser("set", help="a flow set of animated portraits, with frames: three made-up databases")
    made.add_argument("--out", type=Path, required=True, help="folder of the flow set")
    made.add_argument("--samples", type=int, default=300, help="default: %(default)s")
    made.add_argument("--portraits", type=Path, nargs="+", default=[], help="default: the astronaut")
    made.add_argument("--seed", type=int, default=2_000_003, help="default: %(default)s, kept out of training")
    made.set_defaults(run=run_set)


def run_set(options: argparse.Namespace) -> None:
    from merau.trainers.data.synthetic_set import draw_set

    draw_set(options.out, options.samples, options.seed, options.portraits)
