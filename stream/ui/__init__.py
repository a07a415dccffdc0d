"""The live page: watch cameras, review events, teach classes, share a link.

server           the Gradio application; page_server: serves it; config: its settings; gate: lets programs in
live_page        the Live tab; review_page: Review and Teach; settings_page: Settings; handlers: shared by all
server_state     the shared workspace, client sessions, the webcam queue, and periodic jobs
workspace        a store with its cameras and consent; broadcast: its viewers; teaching: labels and few-shot heads
camera_worker    analyses one source in a thread; frame_encoder: its frames; event_clip: the clip of one event
middleware       what every request passes first: access and uploads
routes           the page's own routes and who may use them; sockets: live view and webcam; downloads: files
outbox           frames and messages that wait for one page
fallback_webcam  a webcam where the browser has no WebSocket or canvas
i18n             translation; message_json: messages for scripts; static: the scripts and styles in the browser
"""
