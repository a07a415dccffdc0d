"""The classifier as a bundle holds it: a file that is checked before it is used."""

import json
import shutil

import numpy as np
import onnx
import pytest

from merau.engine import bundle as bundles
from merau.engine.errors import UserError
from merau.stream.spotter import KINDS, CandidateInput
from merau.stream.spotter.classifier import CHANNELS, FEATURES, STEPS
from merau.stream.spotter.span_net import CARD, SpanNet, span_net

SHIPPED = bundles.SHIPPED / "default" / bundles.SPOTTER


def candidates(count: int) -> CandidateInput:
    rng = np.random.default_rng(0)
    shapes = ((CHANNELS, STEPS), (STEPS,), (len(FEATURES),))
    return CandidateInput(*(rng.normal(size=(count, *shape)).astype(np.float32) for shape in shapes))


def test_probabilities_do_not_depend_on_the_batch():
    net = SpanNet(SHIPPED.read_bytes())
    together = net(candidates(5))
    assert together.shape == (5, len(KINDS))
    np.testing.assert_allclose(together.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(net(candidates(5).take([3])), together[3:4], atol=1e-5)


def test_card_says_what_it_was_trained_on():
    card = SpanNet(SHIPPED.read_bytes()).card
    assert card["trained_on"]["motion_models"]
    assert len(card["trained_on"]["sha256"]) == 64


@pytest.mark.parametrize("change", ["kinds", "features"])
def test_classifier_of_another_version_is_refused(change):
    model = onnx.load_from_string(SHIPPED.read_bytes())
    card = SpanNet(SHIPPED.read_bytes()).card
    onnx.helper.set_model_props(model, {CARD: json.dumps(card | {change: card[change][1:]})})
    with pytest.raises(UserError, match="another version"):
        SpanNet(model.SerializeToString())


def test_damaged_classifier_is_refused():
    with pytest.raises(UserError, match=r"spotter\.onnx cannot be used"):
        SpanNet(SHIPPED.read_bytes()[:500])


def test_bundle_without_classifier_uses_the_default_one(tmp_path):
    bundle = bundles.load()
    without = {name: data for name, data in bundle.content.items() if name != bundles.SPOTTER}
    old = bundles.Bundle(bundle.name, bundle.card, without, bundle.sha256)
    assert span_net(old) is span_net(bundle)


def test_changed_classifier_changes_the_hash_of_its_bundle(tmp_path):
    copy = shutil.copytree(bundles.SHIPPED / "default", tmp_path / "copy")
    before = bundles.load(copy)
    model = onnx.load_from_string(before.content[bundles.SPOTTER])
    card = SpanNet(before.content[bundles.SPOTTER]).card
    onnx.helper.set_model_props(model, {CARD: json.dumps(card | {"thresholds": {"final": 0.9}})})
    (copy / bundles.SPOTTER).write_bytes(model.SerializeToString())
    bundles.save(copy, {key: value for key, value in before.card.items() if key not in ("format", "sha256")})
    after = bundles.load(copy)
    assert after.sha256 != before.sha256
    assert span_net(after).thresholds.final == 0.9
