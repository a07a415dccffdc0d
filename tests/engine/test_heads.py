import numpy as np
import pytest

from merau.engine import heads
from merau.engine.errors import UserError


def clusters(rng: np.random.Generator, per_class: int, *, spread: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    centres = np.random.default_rng(1).normal(0, 1, (3, 24))
    labels = np.repeat(np.arange(3), per_class)
    return (centres[labels] + rng.normal(0, spread, (len(labels), 24))).astype(np.float32), labels


@pytest.mark.parametrize("kind", list(heads.KINDS.values()))
def test_five_samples_per_class_separate_clusters(kind, tmp_path):
    rng = np.random.default_rng(0)
    head = kind.fit(*clusters(rng, 5), ("tense", "repression", "other"))
    seen, labels = clusters(rng, 200)
    assert (head.logits(seen).argmax(1) == labels).mean() > 0.9
    assert np.allclose(heads.softmax(head.logits(seen)).sum(1), 1, atol=1e-5)

    heads.save(head, tmp_path / "head.safetensors")
    again = heads.load((tmp_path / "head.safetensors").read_bytes())
    assert type(again) is kind
    assert again.classes == head.classes
    assert np.array_equal(again.logits(seen), head.logits(seen))


@pytest.mark.parametrize("kind", list(heads.KINDS.values()))
def test_one_sample_per_class_is_classified(kind):
    seen, labels = clusters(np.random.default_rng(0), 1)
    assert (kind.fit(seen, labels, ("a", "b", "c")).logits(seen).argmax(1) == labels).all()


def test_fit_residual_corrects_errors_only():
    seen, labels = clusters(np.random.default_rng(0), 5)
    right, blind = np.eye(3)[labels] * 0.97 + 0.01, np.tile([0.6, 0.2, 0.2], (15, 1))
    added = {
        name: heads.Linear.fit_residual(known, seen, labels, ("a", "b", "c")).logits(seen)
        for name, known in (("right", right), ("blind", blind))
    }
    assert np.ptp(added["right"], axis=1).max() < 0.5
    assert ((added["blind"] + np.log(blind)).argmax(1) == labels).all()


def test_fit_residual_ignores_class_frequency():
    labels = np.repeat([0, 1], (20, 5))
    head = heads.Linear.fit_residual(np.full((25, 2), 0.5), np.ones((25, 24), np.float32), labels, ("a", "b"))
    assert np.allclose(head.logits(np.ones((1, 24))), 0, atol=1e-6)


def test_class_without_samples_is_named():
    seen, labels = clusters(np.random.default_rng(0), 2)
    with pytest.raises(UserError, match="class surprise"):
        heads.Linear.fit(seen, labels, ("a", "b", "c", "surprise"))


def test_file_without_a_head_is_refused(tmp_path):
    with pytest.raises(UserError, match="safetensors"):
        heads.load(b"no head at all")
    head = heads.Linear(("a", "b"), np.ones((3, 4), np.float32), np.ones(3, np.float32))
    heads.save(head, tmp_path / "head.safetensors")
    with pytest.raises(UserError, match="do not match"):
        heads.load((tmp_path / "head.safetensors").read_bytes())


def test_gate_changes_no_expression_against_another(tmp_path):
    rng = np.random.default_rng(0)
    embeddings, weight = rng.normal(0, 1, (50, 24)), rng.normal(0, 1, (4, 24)).astype(np.float32)
    head = heads.Gated(("a", "b", "c", "no expression"), weight, np.arange(4, dtype=np.float32))
    heads.save(head, tmp_path / "head.safetensors")
    again = heads.load((tmp_path / "head.safetensors").read_bytes())
    assert isinstance(again, heads.Gated)
    seen, rows = heads.softmax(again.logits(embeddings)), embeddings @ weight.T + head.bias
    assert np.allclose(seen[:, -1], 1 / (1 + np.exp(-rows[:, -1])))
    assert np.allclose(seen[:, :-1] / seen[:, :-1].sum(1, keepdims=True), heads.softmax(rows[:, :-1]))
