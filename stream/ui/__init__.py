"""The live page: people watch, review, teach and share.

settings    what can be set, and the login
app         the Gradio application and its server; live, review, configure: its three pages
state       who is here; a workspace: one store, its cameras and what was taught, the server's own or one visitor's
camera      one source analysed in a thread; film: its pictures; clip: the film of one event
slow        a visitor's webcam where nothing better works
gate        what every request passes first
uploads     what files may be sent
doors       the sockets and routes, and who may pass them; outbox: what waits to be sent to a page
*.js, *.css what runs in the browser; words.json: English and German
"""
