"""The settings page: what runs here, what is stored and for how long, and the button that deletes it."""

from typing import Any

import gradio as gr

from merau.engine.errors import UserError
from merau.stream.store import read_events, read_labels, read_sessions
from merau.stream.ui.handlers import private_endpoint, show_user_errors
from merau.stream.ui.i18n import t
from merau.stream.ui.message_json import to_json
from merau.stream.ui.server_state import ServerState
from merau.stream.ui.workspace import PRIVATE, Workspace

SCORES = {"samples": "samples", "uf1": "UF1", "uar": "UAR", "acc": "accuracy", "ece": "ECE"}


def settings_page(state: ServerState, token: gr.State, tab: gr.Tab) -> None:
    """Build the page inside its tab."""
    facts = gr.HTML(
        html_template='<div class="m"></div>',
        js_on_load="merau.factsView(element, props, watch)",
        apply_default_css=False,
        elem_id="facts",
    )
    with gr.Column(elem_id="deleting", elem_classes="card"):
        gr.Markdown(t("Delete everything"), elem_classes="title")
        gr.Markdown(t("Sessions, events, images, clips, labels and your classes are deleted permanently."))
        sure = gr.Checkbox(label=t("I am sure"), elem_id="sure")
        delete = gr.Button(t("Delete everything"), variant="stop", elem_id="delete")

    @show_user_errors
    def show(page_token: str) -> dict[str, Any]:
        workspaces = [state.client(page_token).workspace, *([state.shared] if state.settings.is_trusted else [])]
        bundle = workspaces[0].teaching.bundle
        return {
            "card": {
                "name": bundle.name,
                "classes": bundle.card["classes"],
                "aus": bundle.card["aus"],
                "trained_on": [
                    _data_set(name, part)
                    for name, part in bundle.card["trained_on"].items()
                    if part and not isinstance(part, str)
                ],
                "scores": [_data_set(name, part) for name, part in bundle.card["scores"].items() if part],
                "sha256": bundle.sha256[:16],
            },
            "runtimes": [to_json(runtime) for runtime in workspaces[0].describe_runtimes()],
            "retention_h": state.settings.retention_h,
            "stored": [_stored(workspace) for workspace in workspaces],
            "limits": {"visitors": state.settings.visitors, "upload_mb": state.settings.upload_mb},
        }

    @show_user_errors
    def delete_everything(page_token: str, is_sure: bool) -> tuple[bool, dict[str, Any]]:
        if not is_sure:
            raise UserError("Please confirm first: deleted data cannot be restored.")
        state.client(page_token).workspace.delete_everything()
        if state.settings.is_trusted:
            state.shared.delete_everything()
        return False, show(page_token)

    tab.select(show, [token], facts, **private_endpoint())
    delete.click(delete_everything, [token, sure], [sure, facts], **private_endpoint())


def _stored(workspace: Workspace) -> dict[str, Any]:
    """Return what a workspace holds, as settings.js shows it."""
    path = workspace.store.path
    is_private = workspace.name == PRIVATE
    sessions = read_sessions(path)
    return {
        "is_private": is_private,
        "where": "" if is_private else str(path),
        "sessions": len(sessions),
        "unlimited": sum(session.retention_h is None for session in sessions),
        "events": sum(1 for _ in read_events(path)),
        "labels": len(read_labels(path)),
        "purpose": workspace.consent.purpose if workspace.consent else "",
        "deletion_pending": workspace.store.deletion_pending,
        "store_error": to_json(workspace.store.last_error or ""),
    }


def _data_set(name: str, part: Any) -> list[Any]:
    """Return the name of a data set of the card, then (title, number) of its size and of each score it has."""
    numbers = part if isinstance(part, dict) else {"samples": len(part) if isinstance(part, list) else part}
    return [name.replace("_", " "), *([title, numbers[key]] for key, title in SCORES.items() if key in numbers)]
