"""`merau doctor`: what this machine has, and whether merau is ready to run."""

import argparse
import json
from pathlib import Path
from typing import Any

from merau.stream.commands import options


def add_parser(commands: options.Commands) -> None:
    """Add the command."""
    summary = "check this machine: cameras, codecs, packages, GPU and the recognizer bundle"
    parser = options.add_command(commands, "doctor", summary, run)
    options.add_bundle_option(parser)
    parser.add_argument("--scores", action="store_true", help="also print the bundle's training data and scores")
    parser.add_argument(
        "--store",
        type=Path,
        metavar="DB",
        help="also measure how far the store's sessions lie from the bundle's training domain",
    )


def run(arguments: argparse.Namespace) -> int:
    """Examine the machine and print the findings."""
    from merau.stream.diagnostics import examine

    findings = examine(arguments.bundle, arguments.store)
    if arguments.json:
        print(json.dumps(findings))
    else:
        print(format_findings(findings, scores=arguments.scores))
    return 0


def format_findings(findings: dict[str, Any], *, scores: bool = False) -> str:
    """Return the findings as lines of text, the verdict last."""
    rows = {
        "machine": ["{system}, Python {python}, {cores} cores".format(**findings["machine"])],
        "cameras": [_camera(camera) for camera in findings["cameras"]] or ["none (there is no /dev/video*)"],
        "codecs": [", ".join(name if there else f"no {name}" for name, there in findings["codecs"].items())],
        "packages": _packages(findings["runtimes"], "missing"),
        "optional": _packages(findings["optional"], "not installed"),
        "gpu": [*findings["gpu"]["devices"], findings["gpu"]["why"]],
        "device": _device(findings["device"]),
        "bundle": _bundle(findings["bundle"]),
    }
    if findings["domain"]:
        rows["domain"] = [_domain_distance(session) for session in findings["domain"]]
    indent = "\n" + 10 * " "
    sections = ["\n".join(f"{name:<10}{indent.join(lines)}" for name, lines in rows.items())]
    if scores:
        sections.append(format_card(findings["bundle"]["card"]))
    return "\n\n".join([*sections, "\n".join(verdict(findings))])


def _device(device: dict[str, str]) -> list[str]:
    place = {"cpu": "the CPU", "cuda": "the GPU"}
    flow, spotter = place[device["flow_device"]], place[device["spotter_device"]]
    runs = f"The recognizer runs on {place[device['chosen']]} ({device['runtime']}, {device['precision'].upper()})"
    reason = device["why"].removesuffix(".")
    return [
        f"{runs}: {reason}.",
        f"Its optical flow ({device['flow']}) runs on {flow}. The spotter's runs on {spotter}.",
    ]


def verdict(findings: dict[str, Any]) -> list[str]:
    """Return one line that says what works, then a line for each thing to do."""
    missing = [name for name, version in findings["runtimes"].items() if version is None]
    if missing:
        return ["Not ready: packages are missing.", f"To do: pip install {' '.join(missing)}"]
    locked = [camera["device"] for camera in findings["cameras"] if not camera["readable"]]
    sources = "RTSP cameras and recordings"
    if len(locked) < len(findings["cameras"]):
        sources = f"webcams, {sources}"
    device = {"cpu": "CPU", "cuda": "GPU"}[findings["device"]["chosen"]]
    lines = [f"Ready: {sources} can be analysed on the {device}."]
    if locked:
        lines.append(f"To do: allow access to {', '.join(locked)}: sudo usermod -aG video $USER, then log in again.")
    if not findings["codecs"]["h264"]:
        lines.append("To do: install a build of PyAV that decodes H.264, which most cameras send.")
    return lines


def format_card(card: dict[str, Any]) -> str:
    """Return the card's calibration, training data and scores as tables."""
    from merau.engine.bundle import flatten

    sets = {name: flatten(scores) for name, scores in card["scores"].items() if scores}
    names = list(dict.fromkeys(name for scores in sets.values() for name in scores))
    table = [["score", *sets], *([name, *(_value(scores.get(name)) for scores in sets.values())] for name in names)]
    facts = flatten(card["calibration"]) | flatten(card["trained_on"])
    return "\n\n".join(_table(rows) for rows in ([[name, _value(value)] for name, value in facts.items()], table))


def _table(rows: list[list[str]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    padded = ([cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in rows)
    return "\n".join("  ".join(row).rstrip() for row in padded)


def _value(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_value, value)) or "none"
    return "-" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def _camera(camera: dict[str, Any]) -> str:
    return f"{camera['device']} {camera['name']}{'' if camera['readable'] else ' (permission denied)'}"


def _packages(versions: dict[str, str | None], absent: str) -> list[str]:
    return [f"{name} {version or absent}" for name, version in versions.items()]


def _bundle(bundle: dict[str, Any]) -> list[str]:
    card = bundle["card"]
    return [
        f"{bundle['name']}, sha256 {bundle['sha256'][:16]}",
        f"classes {', '.join(card['classes'])}",
        f"Action Units {', '.join(card['aus'])}",
    ]


def _domain_distance(session: dict[str, Any]) -> str:
    from merau.calib.domain import MIN_SAMPLES

    start = f"session {session['session']}, {session['source']}: "
    if "mmd2" not in session:
        return f"{start}{session['samples']} expressions classified by this bundle; at least {MIN_SAMPLES} are needed"
    beyond = "more than chance explains" if session["p_value"] < 0.05 else "no more than chance explains"
    return f"{start}MMD² {session['mmd2']} from the training domain, p = {session['p_value']}: {beyond}"
