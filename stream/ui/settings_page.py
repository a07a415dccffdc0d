"""The settings page: what runs here, what is kept and for how long, and the button that deletes all of it."""

from typing import Any

import gradio as gr

from merau.engine.errors import UserError
from merau.stream.store import read_events, read_labels, read_sessions
from merau.stream.ui.handlers import private, told
from merau.stream.ui.i18n import t
from merau.stream.ui.server_state import House
from merau.stream.ui.workspace import Desk, PrivateDesk

NUMBERS = {"samples": "samples", "uf1": "UF1", "uar": "UAR", "acc": "accuracy", "ece": "ECE"}


def configure_page(house: House, token: gr.State, tab: gr.Tab) -> None:
    """Build it inside its tab."""
    facts = gr.HTML(
        html_template='<div class="m"></div>',
        js_on_load="merau.facts(element, props, watch)",
        apply_default_css=False,
        elem_id="facts",
    )
    with gr.Column(elem_id="deleting", elem_classes="card"):
        gr.Markdown(t("Delete everything"), elem_classes="title")
        gr.Markdown(t("Sessions, events, pictures, films, your words and what was taught are deleted for good."))
        sure = gr.Checkbox(label=t("I am sure"), elem_id="sure")
        delete = gr.Button(t("Delete everything"), variant="stop", elem_id="delete")

    @told
    def show(key: str) -> dict[str, Any]:
        desks = [house.visitor(key).desk, *([house.shared] if house.settings.trusted else [])]
        bundle = desks[0].bundle
        return {
            "card": {
                "name": bundle.name,
                "classes": bundle.card["classes"],
                "aus": bundle.card["aus"],
                "trained_on": [_set(name, part) for name, part in bundle.card["trained_on"].items() if part],
                "scores": [_set(name, part) for name, part in bundle.card["scores"].items() if part],
                "sha256": bundle.sha256[:16],
            },
            "machine": desks[0].runs_on,
            "retention_h": house.settings.retention_h,
            "kept": [_kept(desk) for desk in desks],
            "limits": {"visitors": house.settings.visitors, "upload_mb": house.settings.upload_mb},
        }

    @told
    def deleted(key: str, certain: bool) -> tuple[bool, dict[str, Any]]:
        if not certain:
            raise UserError("Confirm that you are sure: what is deleted cannot be brought back.")
        house.visitor(key).desk.delete_everything()
        if house.settings.trusted:
            house.shared.delete_everything()
        return False, show(key)

    tab.select(show, [token], facts, **private())
    delete.click(deleted, [token, sure], [sure, facts], **private())


def _kept(desk: Desk) -> dict[str, Any]:
    path = desk.store.path
    return {
        "private": isinstance(desk, PrivateDesk),
        "where": "" if isinstance(desk, PrivateDesk) else str(path),
        "sessions": len(read_sessions(path)),
        "events": sum(1 for _ in read_events(path)),
        "labels": len(read_labels(path)),
        "purpose": desk.consent.purpose if desk.consent else "",
        "trouble": str(desk.store.last_error or ""),
    }


def _set(name: str, part: Any) -> list[Any]:
    """One set of samples of the card, its name first: how many there are and, where it was judged, how well."""
    numbers = part if isinstance(part, dict) else {"samples": len(part) if isinstance(part, list) else part}
    return [name.replace("_", " "), *([title, numbers[key]] for key, title in NUMBERS.items() if key in numbers)]
