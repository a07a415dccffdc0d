import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from merau.engine.bundle import SHIPPED
from merau.engine.errors import UserError
from merau.engine.few_shot import FewShotHead, check_limits, fit_few_shot
from merau.engine.few_shot_file import MAX_BYTES, HeadFile
from merau.engine.recognizer import Recognizer
from tests.support import clustered_samples


def test_saved_head_loads_for_its_own_bundle_only(recognizer, tmp_path):
    samples = clustered_samples(recognizer, ("tense", "positive"), 4)
    head = fit_few_shot(samples, recognizer.bundle, kind="cosine")
    head.save(tmp_path / "head.safetensors")
    again = FewShotHead.load(tmp_path / "head.safetensors", recognizer.bundle)
    assert again.probabilities(samples[0]) == pytest.approx(head.probabilities(samples[0]), abs=1e-6)
    assert [s.label for s in again.samples] == [s.label for s in samples]

    other = replace(recognizer.bundle, name="another", sha256="0" * 64)
    with pytest.raises(UserError, match="fitted to another bundle than another"):
        FewShotHead.load(tmp_path / "head.safetensors", other)
    (tmp_path / "head.safetensors").write_bytes(b"no head at all")
    with pytest.raises(UserError, match="is not a head file"):
        FewShotHead.load(tmp_path / "head.safetensors", recognizer.bundle)


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": None},
        {"kind": "forest"},
        {"bundle_sha256": None},
        {"labels": "[1, 2]"},
        {"labels": "null"},
        {"labels": '["tense"]'},
        {"labels": '{"tense": 1, "positive": 2}'},
        {"labels": '["tense", "lone \\ud800"]'},
        {"labels": "[" * 100_000},
        {"embedding": np.zeros((2, 128), np.float64)},
        {"known": '["something"]'},
        {"aus": "[" + ", ".join('"99"' for _ in range(17)) + "]"},
        {"embedding": np.zeros((2, 7), np.float32)},
        {"embedding": np.zeros(2, np.float32)},
        {"probabilities": np.full((2, 4), np.nan, np.float32)},
        {"aus_values": np.full((2, 3), 0.5, np.float32)},
    ],
    ids=str,
)
def test_file_with_other_content_is_refused(recognizer, tmp_path, wrong):
    path = tmp_path / "head.safetensors"
    fit_few_shot(clustered_samples(recognizer, ("tense", "positive"), 1), recognizer.bundle).save(path)
    file = HeadFile.read(path)
    metadata, arrays = file.metadata, file.arrays
    arrays |= {("aus" if name == "aus_values" else name): v for name, v in wrong.items() if isinstance(v, np.ndarray)}
    metadata |= {name: v for name, v in wrong.items() if not isinstance(v, np.ndarray)}
    save_file(arrays, path, {name: v for name, v in metadata.items() if v is not None})
    with pytest.raises(UserError, match=r"^head.safetensors is not a head file of merau\.$"):
        FewShotHead.load(path, recognizer.bundle)


def test_head_is_read_from_a_file_of_bounded_size_only(recognizer, tmp_path):
    os.mkfifo(tmp_path / "fifo")
    for path in (Path("/dev/zero"), tmp_path / "fifo"):
        with pytest.raises(UserError, match="cannot be read: it is not a file"):
            FewShotHead.load(path, recognizer.bundle)
    with (tmp_path / "large").open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(UserError, match="cannot be read: it is larger than 32 MB"):
        FewShotHead.load(tmp_path / "large", recognizer.bundle)


def test_head_with_too_many_samples_or_classes_is_refused_at_once(recognizer, tmp_path):
    samples = clustered_samples(recognizer, ("tense", "positive"), 2)
    HeadFile.of(
        recognizer.bundle.sha256,
        "linear",
        [f"class {i % 60}" for i in range(120)],
        [samples[0].embedding] * 120,
        [samples[0].probabilities] * 120,
        [samples[0].aus] * 120,
    ).write(tmp_path / "head")
    with pytest.raises(UserError, match="at most 2000 samples and 50 classes"):
        FewShotHead.load(tmp_path / "head", recognizer.bundle)
    with pytest.raises(UserError, match="up to 20000, such as 2000 samples of 10 classes; 2000 samples of 11 classes"):
        check_limits(2000, 11)


def test_head_of_an_older_bundle_says_what_to_do(recognizer, tmp_path):
    path = tmp_path / "head.safetensors"
    older = replace(recognizer.bundle, sha256="ff" * 32)
    fit_few_shot(clustered_samples(recognizer, ("tense", "positive"), 1), older).save(path)
    with pytest.raises(UserError, match=r"^head.safetensors was fitted .* perhaps an older one: fit its samples"):
        FewShotHead.load(path, recognizer.bundle)


def test_head_loads_its_shipped_bundle_by_default(recognizer, tmp_path):
    other, path = Recognizer.load(SHIPPED / "source", device="cpu"), tmp_path / "head"
    fit_few_shot(clustered_samples(other, ("tense", "positive"), 4), other.bundle).save(path)
    loaded = Recognizer.load(head=path, device="cpu")
    assert loaded.bundle == other.bundle
    assert loaded.few_shot_head
    assert loaded.few_shot_head.classes == ("positive", "tense")
    with pytest.raises(UserError, match="fitted to another bundle than merau-default: start merau with this --head"):
        Recognizer.load(SHIPPED / "default", head=path, device="cpu")
