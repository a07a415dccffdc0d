"""Stands in for frpc, the program of Gradio's public links: a port of this machine is the link's far end.

Run as frpc is, with -i HOST -l PORT of the page; leaves its own pid and port, in this order, in a file beside it.
"""

import asyncio
import os
import sys
from asyncio import StreamReader, StreamWriter
from pathlib import Path

LINK = "abc.gradio.live"


async def pump(source: StreamReader, sink: StreamWriter) -> None:
    while data := await source.read(65536):
        sink.write(data)
        await sink.drain()
    sink.close()


async def serve(host: str, port: int) -> None:
    async def forward(reader: StreamReader, writer: StreamWriter) -> None:
        page_reader, page_writer = await asyncio.open_connection(host, port)
        await asyncio.gather(pump(reader, page_writer), pump(page_reader, writer), return_exceptions=True)

    server = await asyncio.start_server(forward, "127.0.0.1", 0)
    Path(sys.argv[0]).with_suffix(".at").write_text(f"{os.getpid()} {server.sockets[0].getsockname()[1]}")
    print("login to server failed" if os.environ.get("NO_LINK") else f"start proxy success: http://{LINK}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[sys.argv.index("-i") + 1], int(sys.argv[sys.argv.index("-l") + 1])))
