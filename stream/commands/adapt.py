"""`merau adapt`: fit a few-shot head to labelled samples."""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from merau.stream.commands import options


def add_parser(commands: options.Commands) -> None:
    """Add the command."""
    summary = "teach your own classes: fit a few-shot head to labelled samples"
    parser = options.add_command(commands, "adapt", summary, run)
    parser.add_argument(
        "samples",
        metavar="SAMPLES",
        nargs="+",
        type=Path,
        help="store with labelled events, or CSV with the columns label,file,onset_s,apex_s (clips) or "
        "label,onset,apex (pictures)",
    )
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument("--out", type=Path, metavar="FILE", help="few-shot head to write")
    target.add_argument(
        "--preview", action="store_true", help="only print what the head would change in the stored events"
    )
    parser.add_argument(
        "--head", type=Path, metavar="FILE", help="existing few-shot head whose samples are used as well"
    )
    parser.add_argument(
        "--kind",
        choices=("auto", "linear", "cosine", "prototypes"),
        default="auto",
        help="classifier type; auto picks the best by cross-validation (default: %(default)s)",
    )
    options.add_bundle_option(parser, "the one that classified most samples")


def run(arguments: argparse.Namespace) -> int:
    """Read the samples, fit the head and save it."""
    from merau.engine.csv_table import is_csv
    from merau.engine.few_shot import describe_merged_labels, fit_few_shot
    from merau.engine.recognizer import Recognizer
    from merau.stream.samples import deduplicate, most_used_bundle, read_samples
    from merau.stream.teaching_preview import Preview

    bundle = arguments.bundle or (None if arguments.head else most_used_bundle(arguments.samples))
    recognizer = options.warm_up(Recognizer.load(bundle, head=arguments.head))
    given = list(recognizer.few_shot_head.samples) if recognizer.few_shot_head else []
    notes = []
    for path in arguments.samples:
        read = read_samples(path, recognizer)
        given += read.samples
        notes += read.notes
    for note in notes:
        print(f"Note: {note}", file=sys.stderr)
    if merged := describe_merged_labels([sample.label for sample in given]):
        notes.append(merged)
    samples = deduplicate(given)
    if repeated := len(given) - len(samples):
        print(f"{repeated} of {len(given)} samples are repetitions: each sample counts once.", file=sys.stderr)
    head = fit_few_shot(samples, recognizer.bundle, kind=arguments.kind)
    preview = Preview.of(head, recognizer, [path for path in arguments.samples if not is_csv(path)])
    if arguments.out:
        head.save(arguments.out)
    fields = {
        "written": str(arguments.out) if arguments.out else None,
        "kind": head.kind,
        "classes": list(head.classes),
        "samples": len(head.samples),
        "estimate": head.estimate,
        "explanation": str(head.explanation),
        "notes": [str(note) for note in notes],
        "preview": asdict(preview),
    }
    lines = [head.explanation, preview.message, *([f"Written to {arguments.out}."] if arguments.out else [])]
    print(json.dumps(fields) if arguments.json else "\n".join(map(str, lines)))
    return 0
