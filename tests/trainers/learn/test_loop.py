"""MERAU stage by stage on a made-up prepared set: what is learned, going on after a stop, processes, the bundle."""

import json
import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from merau.calib.probability import binned_calibration_error
from merau.engine import bundle, heads
from merau.engine.crop import CropSpec
from merau.engine.errors import UserError
from merau.engine.recognizer import Recognizer
from merau.trainers.cli import main
from merau.trainers.data import flow_set
from merau.trainers.data.prepare import strip
from merau.trainers.data.synth.action_units import AUS
from merau.trainers.data.synth.flow_fields import FlowSettings, flows
from merau.trainers.export.bundle import load_model, trunk_inputs
from merau.trainers.learn import settings
from merau.trainers.learn.apex_branch import Frames
from merau.trainers.learn.bundle import head_of, write_bundle
from merau.trainers.learn.fusion import augment, prototype_loss
from merau.trainers.learn.loop import LOG
from merau.trainers.learn.merau import TrainingPairs, coded_units, neighbours_wanted, train_merau
from merau.trainers.learn.settings import DetectorSettings, FusionSettings, Setting, TcaeSettings

HEIGHT, WIDTH = CropSpec().full
WHERE = {"disgust": (0.2, 0.25), "happiness": (0.75, 0.3), "surprise": (0.12, 0.7)}  # row and column of what moves up
COUNTS = {"disgust": 12, "happiness": 6, "surprise": 6}
CODES = {"disgust": "4", "happiness": "L12+6", "surprise": "1+2"}
SMALL = Setting(
    TcaeSettings(size_px=32, base=4, epochs=4, batch=8),
    DetectorSettings(aus=(1, 2, 4, 12), epochs=3, batch=8),
    FusionSettings(epochs=4, batch=8, shots=2, queries=3, episodes=5),
    kept_back=0.3,
)


def clip(rng: np.random.Generator, emotion: str) -> list[np.ndarray]:
    """Eight full crops from rest to 3 px of movement at the place of `emotion`, and back by two."""
    face = cv2.GaussianBlur(rng.integers(0, 255, (HEIGHT, WIDTH)).astype(np.uint8), (7, 7), 0)
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    row, column = WHERE[emotion]
    bump = np.exp(-(((y - row * HEIGHT) / 20) ** 2) - ((x - column * WIDTH) / 20) ** 2).astype(np.float32)
    levels = (*np.linspace(0, 1, 8), 0.9, 0.8)
    return [cv2.remap(face, x, y + 3 * np.float32(level) * bump, cv2.INTER_LINEAR) for level in levels]


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    rng, folder = np.random.default_rng(0), tmp_path_factory.mktemp("prepared")
    rows, pictures = [], []
    for i, emotion in enumerate(name for name, count in COUNTS.items() for _ in range(count)):
        crops = clip(rng, emotion)
        cv2.imwrite(str(folder / f"c{i}.png"), np.concatenate([crops[0], *crops[7:]]))
        cv2.imwrite(str(folder / f"f{i}.png"), strip(crops[:8]))
        pictures.append(np.zeros((28, 28, 3), np.uint8))
        rows.append(
            {"dataset": "made-up", "subject": i % 6, "sample": i, "label": "", "emotion": emotion,
             "aus": CODES[emotion], "frames_png": f"f{i}.png", "crops_png": f"c{i}.png"}
        )  # fmt: skip
    flow_set.write(folder / "index.csv", rows, pictures)
    return folder / "index.csv"


@pytest.fixture(scope="module")
def data(index):
    torch.set_num_threads(1)
    return flow_set.read(index)


@pytest.fixture(scope="module")
def start():
    return load_model(Path(bundle.__file__).parent / "bundles" / "default").flow


def stop_when(monkeypatch, log, line):
    """Press Ctrl-C as soon as `line` stands in the log."""
    replace_file = os.replace

    def replaced(source, target):
        replace_file(source, target)
        if Path(target) == log and line in log.read_text():
            raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", replaced)


def test_a_training_that_was_stopped_twice_ends_with_the_very_weights_of_one_that_was_not(
    data, start, tmp_path, monkeypatch
):
    folders = tmp_path / "whole", tmp_path / "stopped"
    for folder in folders:
        folder.mkdir()
    whole = train_merau(data, SMALL, start, folder=folders[0])
    for line in ("tcae,2", "fusion,1"):
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            stop_when(patch, folders[1] / LOG, line)
            train_merau(data, SMALL, start, folder=folders[1])
    resumed = train_merau(data, SMALL, start, folder=folders[1])
    assert all(
        torch.equal(a, b) for a, b in zip(*(m.model.state_dict().values() for m in (whole, resumed)), strict=True)
    )
    assert (folders[0] / LOG).read_text() == (folders[1] / LOG).read_text()
    assert len((folders[0] / LOG).read_text().splitlines()) == 1 + 4 + 3 + 4


@pytest.mark.parametrize("classifier", settings.CLASSIFIERS)
def test_each_classifier_learns_and_is_the_head_of_the_engine(classifier, data, start):
    quick = replace(SMALL.tcae, epochs=1), replace(SMALL.detector, epochs=1)
    fusion = replace(SMALL.fusion, classifier=classifier, epochs=15, augment=False)
    trained = train_merau(data, Setting(*quick, fusion, kept_back=0.3), start)
    asked = trained.held_out.flows
    inputs = trunk_inputs(32, asked.flow, trained.held_out.apex)
    with torch.no_grad():
        e = trained.model(*map(torch.from_numpy, inputs.values()))[0]
        shown = trunk_inputs(32, trained.training.flows.flow, trained.training.apex)
        known = trained.model(*map(torch.from_numpy, shown.values()))[0].numpy()
        head = head_of(trained.model, trained.classes, known, trained.training.flows.label)
        assert isinstance(head, heads.KINDS[classifier])
        if classifier != "prototypes":
            assert np.allclose(head.logits(e.numpy()), trained.model.classify(e).numpy(), atol=1e-3)
    assert (head.logits(e.numpy()).argmax(1) == asked.label).mean() > 0.7


def test_rare_classes_bring_neighbours_of_their_apex_and_nobody_is_on_both_sides(data, start):
    label = np.repeat([0, 1, 2], [10, 50, 12])
    assert [set(neighbours_wanted(label)[label == c]) for c in range(3)] == [{4}, {0}, {3}]  # eq. 11
    without_au = replace(SMALL, tcae=None, detector=None, fusion=replace(SMALL.fusion, epochs=1))
    trained = train_merau(data, without_au, start)
    assert trained.model.au is None
    assert trained.classes == ("disgust", "happiness", "surprise")
    people = {str(person) for person in data.subject}
    assert len(people) == 6
    assert len(trained.held_out) == 8
    assert len(trained.training) > len(data) - 8  # and neighbours


def test_pairs_of_frames_are_two_of_one_clip():
    clips = [
        np.full((t, 2, 2), 10 * i, np.uint8) + np.arange(t, dtype=np.uint8)[:, None, None] for i, t in ((1, 2), (2, 5))
    ]
    frames = Frames.of([*clips, clips[0][:1]])
    one, other = (255 * part[:, 0, 0, 0] for part in frames.pairs(torch.tensor([0, 1] * 50)))
    assert (one.round() != other.round()).all()
    assert ((one / 10).floor() == (other / 10).floor()).all()


def test_flow_and_picture_are_varied_alike():
    torch.manual_seed(0)
    picture = torch.nn.functional.avg_pool2d(torch.rand(8, 1, 48, 48), 17, stride=1)
    down, right = torch.gradient(picture[:, 0], dim=(1, 2))
    flow, moved = augment(torch.stack([right, down], 1), picture)  # of a gradient field, the gradient of what moved
    down, right = torch.gradient(moved[:, 0], dim=(1, 2))
    inner = (..., slice(4, -4), slice(4, -4))
    found, wanted = flow[inner].flatten(1), torch.stack([right, down], 1)[inner].flatten(1)
    assert torch.nn.functional.cosine_similarity(found, wanted).min() > 0.95
    assert not torch.allclose(moved, picture, atol=1e-3)


def test_prototype_loss_by_hand():
    e = torch.tensor([[0.0], [2.0], [1.0], [5.0], [7.0], [4.0]])  # prototypes 1 and 6; 1 and 4 asked
    losses = [np.log(1 + np.exp(0 - 25.0)), np.log(1 + np.exp(4.0 - 9))]
    assert prototype_loss(e, 2, 2).item() == pytest.approx(np.mean(losses), abs=1e-5)


WORKER = """
import sys, torch
from merau.trainers.learn.loop import Stage, fit
class Loss(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.net = torch.nn.Linear(5, 1)
    def forward(self, x, y):
        return ((self.net(x)[:, 0] - y) ** 2).mean()
torch.set_num_threads(1)
torch.manual_seed(0)
loss, x = Loss(), torch.randn(32, 5)
y, batch = x.sum(1), int(sys.argv[1])
optimizer = torch.optim.SGD(loss.parameters(), 0.05)
fit(Stage("toy", loss, optimizer, lambda: list(torch.randperm(32).split(batch)), lambda r: (x[r], y[r]), 3), seed=1)
print(loss.net.weight.flatten().tolist())
"""


def test_two_processes_learn_what_one_learns_from_batches_of_twice_the_size():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    together = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    ranks = [together | {"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(2)]
    runs = [
        subprocess.Popen([sys.executable, "-c", WORKER, batch], env=os.environ | env, stdout=subprocess.PIPE, text=True)
        for batch, env in (("4", ranks[0]), ("4", ranks[1]), ("8", {}))
    ]
    one, other, alone = (json.loads(run.communicate(timeout=120)[0]) for run in runs)
    assert one == other
    assert np.allclose(one, alone, atol=1e-6)


def test_from_a_prepared_set_to_a_bundle_that_runs_and_is_evaluated(index, tmp_path, capsys):
    yaml = tmp_path / "small.yaml"
    yaml.write_text(
        "tcae: {size_px: 32, base: 4, epochs: 1}\ndetector: {epochs: 1}\n"
        "fusion: {classifier: cosine, encoder_rate: 1e-5, epochs: 2}\nkept_back: 0.3\n"
    )
    command = ["train", "--setting", str(yaml), "--data", str(index), "--out", str(tmp_path / "b")]
    assert main(command) == 0
    recognizer = Recognizer.load(tmp_path / "b", device="cpu")
    crop = np.random.default_rng(0).integers(0, 255, CropSpec().full, dtype=np.uint8)
    assert set(recognizer.predict(crop, crop).probabilities) == set(COUNTS)
    assert recognizer.bundle.card["input"]["apex_px"] == 32
    assert recognizer.bundle.card["calibration"]["units"].keys() == {"1", "2", "4", "6", "12"}  # as coded
    assert recognizer.bundle.card["trained_on"]["setting"]["fusion"]["encoder_rate"] == 1e-5

    capsys.readouterr()
    assert main(command) == 1
    assert "--resume goes on with it" in capsys.readouterr().err
    assert main([*command, "--resume", "--seed", "5"]) == 1
    assert "setting.seed was 0 and is 5" in capsys.readouterr().err
    asked = [
        "evaluate",
        "--flows",
        str(index),
        "--task",
        "5-class",
        "--model",
        "merau-cd-tuned",
        "--bundle",
        str(tmp_path / "b"),
    ]
    assert main([*asked, "--protocol", "few-shot", "--draws", "1", "--shots", "2"]) == 0
    assert json.loads(capsys.readouterr().out)["bundle"] == "merau-b"


def test_a_unit_that_the_coders_left_open_is_neither_present_nor_absent(data):
    codes = np.array(["4+12 or 14", "4", ""])
    units = coded_units(replace(data.take(np.arange(3)), aus=codes))
    left_open = [AUS.index(au) for au in (12, 14)]
    assert np.isnan(units[0, left_open]).all()
    assert np.isnan(units[0]).sum() == 2
    assert units[0, AUS.index(4)] == 1
    assert units[1].sum() == 1
    assert np.isnan(units[2]).all()


def test_action_units_are_told_as_often_as_the_subjects_kept_back_show_them(data, start, tmp_path):
    without_au = replace(SMALL, tcae=None, detector=None, fusion=replace(SMALL.fusion, epochs=1))
    trained = train_merau(data, without_au, start)
    held, asked = (flows(np.random.default_rng(seed), 600, FlowSettings(no_expression=0)) for seed in (1, 2))
    held.aus[:, AUS.index(26)] = 0
    held.aus[500:] = np.nan  # not coded
    write_bundle(
        replace(trained, held_out=TrainingPairs(held, None)), tmp_path, name="units", flow="dis", trained_on={}
    )
    recognizer = Recognizer.load(tmp_path, device="cpu")
    assert "12" in (fitted := recognizer.bundle.card["calibration"]["units"])
    assert "26" not in fitted
    logits = recognizer.trunk.embed(**trunk_inputs(0, asked.flow))[1]
    raw, told = (
        binned_calibration_error(said.ravel(), asked.aus.ravel())
        for said in (1 / (1 + np.exp(-logits)), recognizer.au_probabilities(logits))
    )
    assert told < raw / 2


def test_every_shipped_setting_is_whole_and_has_the_papers_rates():
    found = {name: settings.read(name) for name in settings.shipped()}
    without_au = {name for name, setting in found.items() if setting.detector is None}
    assert set(found) - without_au == {"merau", "merau-cd", "merau-protonet", "merau-cpu"}
    assert without_au == {"merau-without-au", "merau-cpu-without-au"}
    assert replace(found["merau-cpu"], tcae=None, detector=None) == found["merau-cpu-without-au"]
    assert [found[f"merau{kind}"].fusion.classifier for kind in ("", "-cd", "-protonet")] == list(settings.CLASSIFIERS)
    rates = found["merau"].fusion
    assert (rates.encoder_rate, rates.projection_rate, rates.classifier_rate) == (1e-5, 1.2e-3, 1.2e-3)  # table 2
    assert found["merau"].detector.rate == 1.2e-3
    assert len(found["merau"].detector.aus) == 10


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("fusion: {rate: 1}", "fusion has no setting rate: its settings are classifier, encoder_rate"),
        ("fusion: {epochs: ten}", "epochs is 'ten': write a whole number."),
        ("fusion: {epochs: 0}", "FusionSettings.epochs is 0: choose a number above 0."),
        ("fusion: {classifier: svm}", "FusionSettings.classifier is 'svm': choose one of linear, cosine, prototypes."),
        ("balance: perhaps", "balance is 'perhaps': write true or false."),
        ("tcae: null", "give the stages tcae and detector both, or neither"),
        ("- a list", "it must name settings, tcae, detector"),
        ("flow: [", "is no YAML"),
    ],
)
def test_a_wrong_setting_is_told_by_field_value_and_what_is_wanted(text, sentence, tmp_path):
    (tmp_path / "wrong.yaml").write_text(text)
    with pytest.raises(UserError) as error:
        settings.read(str(tmp_path / "wrong.yaml"))
    assert sentence in str(error.value)


def test_what_is_missing_is_said(index, tmp_path, capsys):
    command = ["train", "--out", str(tmp_path / "o")]
    assert main([*command, "--setting", "merou", "--data", str(index)]) == 1
    assert "There is no setting merou: choose merau, merau-cd" in capsys.readouterr().err
    assert main([*command, "--resume"]) == 1
    assert "choose one with --setting" in capsys.readouterr().err
    assert main([*command, "--setting", "merau-cpu"]) == 1
    assert "name them with --data" in capsys.readouterr().err
    bare = flow_set.read(index)
    bare = flow_set.FlowSet(**{**vars(bare), "crops": np.full(len(bare), "")})
    with pytest.raises(UserError, match="crops_png is no strip of crops"):
        train_merau(bare, SMALL, None)
