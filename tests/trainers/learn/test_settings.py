"""Settings of the stages, shipped and wrong ones."""

from dataclasses import replace

import pytest

from merau.engine.errors import UserError
from merau.trainers.learn import settings


def test_shipped_settings_have_published_rates():
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
        ("fusion: {epochs: 0}", "FusionSettings.epochs is 0: choose more than 0."),
        ("fusion: {classifier: svm}", "FusionSettings.classifier is 'svm': choose one of linear, cosine, prototypes."),
        ("balance: perhaps", "balance is 'perhaps': write true or false."),
        ("tcae: null", "choose both stages, tcae and detector, or neither"),
        ("- a list", "write settings by name, tcae, detector"),
        ("flow: [", "is not valid YAML"),
    ],
)
def test_read_wrong_setting_names_field_and_choices(text, sentence, tmp_path):
    (tmp_path / "wrong.yaml").write_text(text)
    with pytest.raises(UserError) as error:
        settings.read(str(tmp_path / "wrong.yaml"))
    assert sentence in str(error.value)


def test_shipped_settings_have_published_encoder():
    encoders = {name: settings.read(name).encoder for name in settings.shipped()}
    published = {"merau", "merau-cd", "merau-protonet", "merau-without-au"}
    assert {name for name, encoder in encoders.items() if encoder == "resnet18"} == published
