"""`merau-lab synth`: make synthetic clips, image pairs, flow fields and flow sets, and derive their true faces."""

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from merau.trainers.commands.options import FLOW_METHODS, add_classes, add_command, add_seed, combinations_of
from merau.trainers.data.synth.seeds import EVALUATION_SEED

GEOMETRIES = ("table", "corrected", "scans", "mixed")
CLIP_KINDS = ("micro", "neutral", "macro", "speech", "mixed")


def add_parser(commands: Any) -> None:
    """Add the parser to argparse's subparsers `commands`."""
    parser = add_command(commands, "synth", "make synthetic data", None)
    parser.set_defaults(run=lambda _: parser.print_help())
    kinds = parser.add_subparsers(title="what to make", metavar="WHAT")
    add_clips(kinds)
    add_demo(kinds)
    add_sheet(kinds)
    add_set(kinds)
    add_flow_fields(kinds)
    add_pairs(kinds)
    add_scans(kinds)


def add_clips(kinds: Any) -> None:
    """Add the parser of `synth clips`."""
    parser = add_command(kinds, "clips", "animate portraits into videos with ground truth", run_clips)
    about = "picture with a face; several take turns"
    parser.add_argument("portraits", type=Path, nargs="+", metavar="PORTRAIT", help=about)
    parser.add_argument("--out", type=Path, required=True, help="folder for the clips")
    parser.add_argument("--count", type=int, default=1, help="number of clips (default: %(default)s)")
    about = "what the clips show (default: %(default)s)"
    parser.add_argument("--kind", choices=CLIP_KINDS, default="mixed", help=about)
    add_geometry(parser)
    about = "relief of pressed skin under light from above, in face widths; 0.02 looks natural (default: %(default)s)"
    parser.add_argument("--shading", type=float, default=0.0, help=about)
    about = "strength of the micro-expressions, in px of a 128-px crop (default: %(default)s)"
    parser.add_argument("--peak-px", type=float, default=1.0, help=about)
    parser.add_argument("--duration", type=float, default=20.0, help="length in seconds (default: %(default)s)")
    parser.add_argument("--rate", type=float, default=30.0, help="frames per second (default: %(default)s)")
    add_seed(parser)
    about = "write the frames without loss as well: CLIP/00000.png, ..."
    parser.add_argument("--frames", action="store_true", help=about)
    about = "write the true flow of each expression from onset to apex: CLIP.flow.npz, arrays (2, height, width) in px"
    parser.add_argument("--flow", action="store_true", help=about)


def add_geometry(parser: Any, default: str = "table") -> None:
    """Add --geometry."""
    about = (
        "how faces move: by the written table, by the table corrected by coded clips, as scans, or by mixtures "
        "(default: %(default)s)"
    )
    parser.add_argument("--geometry", choices=GEOMETRIES, default=default, help=about)


def run_clips(options: argparse.Namespace) -> None:
    """Make the clips, one seed each."""
    import numpy as np
    from tqdm import tqdm

    from merau.trainers.data.synth.clips import make_clip, random_plan

    options.out.mkdir(parents=True, exist_ok=True)
    for i in tqdm(range(options.count), unit="clip", file=sys.stderr):
        seed = options.seed + i
        plan = random_plan(
            np.random.default_rng(seed),
            options.kind,
            peak_px=options.peak_px,
            duration_s=options.duration,
            rate=options.rate,
            geometry=options.geometry,
            shading=options.shading,
        )
        file = options.out / f"{options.kind}-{seed}.mp4"
        portrait = options.portraits[i % len(options.portraits)]
        make_clip(portrait, plan, file, seed, frames=options.frames, flow=options.flow)


def add_demo(kinds: Any) -> None:
    """Add the parser of `synth demo`."""
    parser = add_command(kinds, "demo", "make the clip that `merau demo` plays", run_demo)
    parser.add_argument("out", type=Path, nargs="?", metavar="OUT", help="MP4 to write (default: the shipped clip)")


def run_demo(options: argparse.Namespace) -> None:
    """Make the demo clip."""
    from merau.trainers.data.synth.clips import ASTRONAUT, DEMO, demo_plan, make_clip

    out = options.out or DEMO
    out.parent.mkdir(parents=True, exist_ok=True)
    make_clip(ASTRONAUT, demo_plan(), out, seed=0)


def add_sheet(kinds: Any) -> None:
    """Add the parser of `synth sheet`."""
    parser = add_command(kinds, "sheet", "draw every Action Unit at three intensities as one picture", run_sheet)
    parser.add_argument("portrait", type=Path, metavar="PORTRAIT", help="picture with a face")
    parser.add_argument("out", type=Path, metavar="OUT", help="PNG to write")
    add_geometry(parser)


def run_sheet(options: argparse.Namespace) -> None:
    """Draw the sheet."""
    from merau.trainers.data.synth.sheet import draw_sheet

    draw_sheet(options.portrait, options.out, geometry=options.geometry)


def add_set(kinds: Any) -> None:
    """Add the parser of `synth set`."""
    purpose = "make a flow set of animated portraits, with frames: three made-up databases"
    parser = add_command(kinds, "set", purpose, run_set)
    parser.add_argument("--out", type=Path, required=True, help="folder of the flow set")
    parser.add_argument("--samples", type=int, default=300, help="number of clips (default: %(default)s)")
    about = "portraits to animate (default: the astronaut that ships)"
    parser.add_argument("--portraits", type=Path, nargs="+", default=[], metavar="PORTRAIT", help=about)
    about = "seed of all random draws; the default is kept out of training (default: %(default)s)"
    parser.add_argument("--seed", type=int, default=EVALUATION_SEED, help=about)


def run_set(options: argparse.Namespace) -> None:
    """Make the flow set."""
    from merau.trainers.data.synthetic_set import draw_set

    draw_set(options.out, options.samples, options.seed, options.portraits)


def add_flow_fields(kinds: Any) -> None:
    """Add the parser of `synth flows`."""
    parser = add_command(kinds, "flows", "draw flow fields of random faces, as in training", run_flow_fields)
    parser.add_argument("--out", type=Path, required=True, help=".npz to write: flow, label, aus, peak_px, known")
    parser.add_argument("--samples", type=int, default=1000, help="number of flow fields (default: %(default)s)")
    add_classes(parser)
    about = "optical flow method whose errors are imitated (default: %(default)s)"
    parser.add_argument("--flow", choices=FLOW_METHODS, default="dis", help=about)
    about = "worse cameras and faces than in training, and as much no expression as live; for `quantize`"
    parser.add_argument("--harder", action="store_true", help=about)
    add_seed(parser)


def run_flow_fields(options: argparse.Namespace) -> None:
    """Draw the flow fields."""
    import numpy as np

    from merau.trainers.data.synth.flow_fields import HARDER, FlowSettings, draw

    base = HARDER if options.harder else FlowSettings()
    settings = replace(base, flow=options.flow, combinations=combinations_of(options))
    np.savez_compressed(options.out, **vars(draw(options.seed, options.samples, settings)))


def add_pairs(kinds: Any) -> None:
    """Add the parser of `synth pairs`."""
    parser = add_command(kinds, "pairs", "draw onset and apex images of animated portraits", run_pairs)
    parser.add_argument("portraits", type=Path, nargs="+", metavar="PORTRAIT", help="pictures with faces")
    about = ".npz to write: onset, apex, label, aus, peak_px, face"
    parser.add_argument("--out", type=Path, required=True, help=about)
    parser.add_argument("--samples", type=int, default=200, help="number of pairs (default: %(default)s)")
    add_geometry(parser, "mixed")
    add_classes(parser)
    add_seed(parser)


def run_pairs(options: argparse.Namespace) -> None:
    """Draw the image pairs."""
    import numpy as np

    from merau.trainers.data.synth.image_pairs import draw_pairs

    pairs = draw_pairs(options.portraits, options.samples, options.seed, combinations_of(options), options.geometry)
    np.savez_compressed(options.out, **vars(pairs))


def add_scans(kinds: Any) -> None:
    """Add the parser of `synth scans`."""
    purpose = "render true faces and derive how their pictures move, for training"
    parser = add_command(kinds, "scans", purpose, run_scans)
    about = "your copy of ICT-FaceKit: its folder, or an .npz file made of it"
    parser.add_argument("model", type=Path, metavar="MODEL", help=about)
    about = "file to write (default: the basis that ships)"
    parser.add_argument("--out", type=Path, metavar="FILE", help=about)


def run_scans(options: argparse.Namespace) -> None:
    """Render the faces and write their basis."""
    from merau.trainers.data.synth.face_model import read_face_model
    from merau.trainers.data.synth.scans import BASIS, HELD_OUT_FACES, derive

    out = options.out or BASIS
    kept = derive(read_face_model(options.model), out)
    print(f"{out}: holds {kept:.2%} of the motion of {HELD_OUT_FACES} faces that it was not fitted to.")
