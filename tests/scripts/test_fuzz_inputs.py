import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "scripts" / "fuzz_inputs.py"


def fuzz(out: Path, *options: str) -> dict:
    done = subprocess.run([sys.executable, SCRIPT, out, *options], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def test_run_counts_its_cases_and_is_continued(tmp_path):
    out = tmp_path / "cases.jsonl"
    counts = fuzz(out, "--recordings", "8", "--data", "12")
    assert counts["cases"] == 20
    assert {kind: sum(found.values()) for kind, found in counts["outcomes"].items()} == {
        "recording": 8,
        "bundle": 4,
        "head": 4,
        "store": 4,
    }
    assert counts["faults"] == []
    *kept, _ = out.read_text().splitlines(keepends=True)
    out.write_text("".join(kept))
    assert fuzz(out, "--recordings", "8", "--data", "12")["outcomes"] == counts["outcomes"]
    assert out.read_text().splitlines(keepends=True)[:-1] == kept
