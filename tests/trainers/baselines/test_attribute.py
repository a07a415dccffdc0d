"""Attribute embedding and cross-modal contrast."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from merau.engine.errors import UserError
from merau.trainers.baselines.attribute import PUBLISHED, Attribute, AttributeSettings, ResNet3d, make_model
from merau.trainers.baselines.network import Training
from merau.trainers.data.facs_sentences import describe_units

QUICK = AttributeSettings(width=4, size_px=24, frames=8, features=16, training=Training(epochs=9, rate=4e-3))


@pytest.fixture(scope="module")
def coded_task(frames_task):
    codes = np.array(["4+7", "6+12", "1+2"])[frames_task.label]
    codes[:3] = ""
    return replace(frames_task, data=replace(frames_task.data, aus=codes))


@pytest.mark.parametrize("change", [{}, {"contrast": 0.0}, {"text": False}, {"streams": "flow"}])
def test_attribute_learns_what_it_is_shown(coded_task, change):
    torch.set_num_threads(1)
    model, shown = make_model(coded_task, settings=replace(QUICK, **change)), np.arange(40)
    assert (model(shown, shown, seed=0).argmax(1) == coded_task.label[shown]).mean() >= 0.95


def test_attribute_without_coded_units_is_refused(frames_task):
    with pytest.raises(UserError, match="attribute-without-text does without"):
        make_model(frames_task, settings=QUICK)


def test_contrastive_loss_draws_a_video_to_its_own_sentence():
    net = Attribute(3, replace(QUICK, temperature=0.1), ("inner brow raiser", "jaw drop", "lips part"))
    z = torch.eye(3)
    own, swapped = (net.contrastive_loss(z, z[order], torch.arange(3)) for order in ([0, 1, 2], [1, 0, 2]))
    assert own < 0.01 < 5 < swapped
    assert net.contrastive_loss(z, z[[1, 0, 2]], torch.zeros(3, dtype=torch.long)) < 0.01  # one sentence: no negatives


def test_resnet_of_the_paper_has_the_sizes_of_table_one():
    net, seen = ResNet3d(3, replace(PUBLISHED, width=2)), []
    for layer in net:
        layer.register_forward_hook(lambda _layer, _input, output: seen.append(tuple(output.shape[1:])))
    net.eval()(torch.zeros(1, 3, 16, 112, 112))
    sizes = list(dict.fromkeys(shape[1:] for shape in seen if len(shape) == 4))
    assert sizes == [(8, 56, 56), (4, 28, 28), (2, 14, 14), (1, 7, 7), (1, 1, 1)]
    assert seen[-1] == (128,)


def test_describe_units_reads_codes_as_coders_write_them():
    assert describe_units("R4+L7") == "brow lowerer and lid tightener"
    assert describe_units("12 or 14") == ""


def test_bert_folder_is_read_from_disk(coded_task, tmp_path):
    transformers = pytest.importorskip("transformers", reason="needs the extra bert")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "and", "brow", "lowerer", "lid", "tightener"]
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    config = transformers.BertConfig(
        vocab_size=len(words), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    )
    transformers.BertModel(config).save_pretrained(tmp_path)
    transformers.BertTokenizer(str(tmp_path / "vocab.txt")).save_pretrained(tmp_path)
    settings = replace(QUICK, bert=tmp_path, training=Training(epochs=1))
    model = make_model(coded_task, settings=settings)
    assert model(np.arange(12), np.arange(12), seed=0).shape == (12, 3)


def test_folder_without_bert_is_refused(coded_task, tmp_path):
    pytest.importorskip("transformers", reason="needs the extra bert")
    with pytest.raises(UserError, match="holds no BERT that can be read"):
        partial(make_model, settings=replace(QUICK, bert=tmp_path))(coded_task)(np.arange(9), np.arange(9), seed=0)
