"""A study from end to end: from a folder of recordings to a table, a comparison, and an agreement with a coder.

    python examples/interviews/make_recordings.py interviews      # or take your own recordings
    python examples/interviews/study.py interviews

Each step is one command, which you can type yourself. The last lines compare the figures with what the made-up faces
really do.
"""

import argparse
import subprocess
import sys
from pathlib import Path

import pandas


def merau(*words: object) -> None:
    """Run a command as if it were typed; 1 tells of single recordings that could not be analysed."""
    print("\n$ merau", *words, flush=True)
    done = subprocess.run([sys.executable, "-m", "merau", *map(str, words)])
    if done.returncode not in (0, 1):
        sys.exit(done.returncode)


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("interviews", type=Path, help="folder with recordings: PARTICIPANT/CONDITION.mp4")
parser.add_argument("--jobs", type=int, default=2, help="recordings to analyse at one time (default: %(default)s)")
arguments = parser.parse_args()
interviews, results = arguments.interviews, arguments.interviews / "results"

# 1. Analyse every recording. A second run skips what is done.
merau("analyse", interviews, "--recursive", "--jobs", arguments.jobs, "--out", results)

# 2. Sum up: one table by participant and condition, and a report with charts and tests.
merau("summary", results, "--pattern", "{participant}/{condition}", "--overwrite")

# 3. Measure how well the events agree with a person's coding. Here the truth stands in for it.
agreement = ("--kinds", "micro", "blink", "--out", results / "agreement", "--overwrite")
merau("agree", results, interviews / "truth.csv", *agreement)

# Compare the table with the truth: micro-expressions of each participant and condition.
groups = pandas.read_csv(results / "summary/summary.groups.csv")
found = groups[(groups["measure"] == "kind") & (groups["name"] == "micro")]
truth = pandas.read_csv(interviews / "truth.csv")
truth[["participant", "condition"]] = truth["recording"].str.extract(r"(\w+)/(\w+)\.")
shown = truth[truth["kind"] == "micro"].groupby(["participant", "condition"]).size()
print("\nMicro-expressions, found and shown:")
for row in found.itertuples():
    print(f"{row.participant} {row.condition}: {row.count} of {shown.get((row.participant, row.condition), 0)}")
