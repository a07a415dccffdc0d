"""What is shipped to run merau-live as a service, checked by the tools that read it."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

DEPLOY = Path(__file__).parents[2] / "deploy"
MOST_EXPOSED = 20  # of 100, which is "OK" by systemd's own scale


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="not run: systemd is not installed")
def test_unit_is_valid_and_hardened(tmp_path):
    unit = tmp_path / "merau.service"
    text = (DEPLOY / unit.name).read_text()
    unit.write_text(text.replace("/opt/merau/.venv/bin/merau", sys.executable))
    assert text.count("/opt/merau/.venv/bin/merau") == 2
    limits = ["security", "--offline=true", f"--threshold={MOST_EXPOSED}", "--no-pager"]
    for arguments in (["verify"], limits):
        done = subprocess.run(["systemd-analyze", *arguments, unit], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr
        assert unit.name not in done.stderr  # no warning


def test_compose_and_dockerfile_name_files_that_exist():
    yaml = pytest.importorskip("yaml")
    service = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]["merau"]
    context = (DEPLOY / service["build"]["context"]).resolve()
    dockerfile = (context / service["build"]["dockerfile"]).read_text()
    assert all((context / name).exists() for name in ("requirements.lock", "constraints.txt"))
    assert service["ports"] == ["127.0.0.1:7860:7860"]  # never plain http to a network
    assert "HEALTHCHECK" in dockerfile and "USER merau" in dockerfile
