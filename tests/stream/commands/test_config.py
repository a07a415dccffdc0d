import json

from merau.stream.cli import main
from merau.stream.service.alerts.settings import AlertsConfig, ApiConfig, Filter, MqttConfig, WebhookConfig
from merau.stream.service.config import (
    CameraConfig,
    ClipsConfig,
    LoginConfig,
    PageConfig,
    Period,
    RetentionConfig,
    ServiceConfig,
)

MODELS = (CameraConfig, ClipsConfig, LoginConfig, PageConfig, Period, RetentionConfig, ServiceConfig)
MODELS += (AlertsConfig, ApiConfig, Filter, MqttConfig, WebhookConfig)


def test_config_example_has_every_setting_and_can_be_used(tmp_path, capsys, monkeypatch):
    for name in ("PAGE_PASSWORD", "DOOR_PASSWORD", "MQTT_PASSWORD", "WEBHOOK_SECRET", "MERAU_TOKEN"):
        monkeypatch.setenv(name, "a secret of the test")
    assert main(["config", "example"]) == 0
    example = capsys.readouterr().out
    names = {field.alias or name for model in MODELS for name, field in model.model_fields.items()}
    assert {name for name in names if f"{name}:" not in example} == set()
    file = tmp_path / "example.yaml"
    file.write_text(example)
    assert main(["config", "check", str(file)]) == 0
    assert capsys.readouterr().out == f"{file} can be used: 2 cameras, with the page, store merau.db.\n"


def test_config_check_as_json_lists_problems(tmp_path, capsys):
    file = tmp_path / "c.yaml"
    file.write_text("stor: x\n")
    assert main(["config", "check", str(file), "--json"]) == 1
    text = "there is no such setting: did you mean 'store'?"
    assert json.loads(capsys.readouterr().out) == {
        "usable": False,
        "problems": [{"line": 1, "field": "stor", "text": text}],
    }
    assert main(["config", "check", str(file)]) == 1
    assert capsys.readouterr().err == f"merau: {file}, line 1: stor: {text}\n"


def test_config_schema_describes_every_setting(capsys):
    assert main(["config", "schema", "--json"]) == 0
    schema = json.loads(capsys.readouterr().out)
    parts = [schema, *schema["$defs"].values()]
    assert all(field["description"] for part in parts for field in part.get("properties", {}).values())
