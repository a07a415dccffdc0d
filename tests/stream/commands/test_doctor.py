import json
import re

import pytest

from merau.stream.cli import main
from merau.stream.commands.doctor import verdict


@pytest.fixture
def findings():
    return {
        "runtimes": {"av": "18.0", "numba": "0.66"},
        "cameras": [{"device": "/dev/video0", "name": "webcam", "readable": True}],
        "codecs": {"h264": True},
        "device": {"chosen": "cpu"},
    }


def test_verdict_with_a_webcam_is_ready(findings):
    assert verdict(findings) == ["Ready: webcams, RTSP cameras and recordings can be analysed on the CPU."]


def test_verdict_with_a_locked_webcam_says_what_to_do(findings):
    findings["cameras"][0]["readable"] = False
    ready, to_do = verdict(findings)
    assert ready == "Ready: RTSP cameras and recordings can be analysed on the CPU."
    assert to_do.startswith("To do: allow access to /dev/video0")


def test_verdict_without_a_package_is_not_ready(findings):
    findings["runtimes"]["numba"] = None
    assert verdict(findings) == ["Not ready: packages are missing.", "To do: pip install numba"]


def test_doctor_json_has_all_findings(capsys):
    assert main(["doctor", "--json"]) == 0
    findings = json.loads(capsys.readouterr().out)
    assert findings["codecs"]["h264"]
    assert findings["runtimes"]["av"]
    assert findings["gpu"]["why"]
    assert findings["bundle"]["card"]["classes"]
    assert re.fullmatch("[0-9a-f]{64}", findings["bundle"]["sha256"])


def test_doctor_ends_with_a_verdict(capsys):
    assert main(["doctor"]) == 0
    printed = capsys.readouterr().out
    assert re.search(r"^(Ready|Not ready): ", printed, re.MULTILINE)
    assert "Its optical flow (dis) runs on the CPU. The spotter's runs on the CPU.\n" in printed
    assert "uf1" not in printed


def test_doctor_scores_are_a_table(capsys):
    assert main(["doctor", "--scores", "--bundle", "source"]) == 0
    printed = capsys.readouterr().out
    assert re.search(r"^score +kept_out_settings ", printed, re.MULTILINE)
    assert re.search(r"^uf1 +0\.\d+ +0\.\d+", printed, re.MULTILINE)
