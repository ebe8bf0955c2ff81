"""Starting the page, and stopping it so that nothing of it is left."""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import socket
import sys
import tempfile
import time
import urllib.parse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ser_utils import study
from ser_utils.app import sounds
from ser_utils.app.hearing import Settings
from ser_utils.app.nets import Nets
from ser_utils.app.sounds import MAX_MB

HOST, PORT = "127.0.0.1", 7860
PATIENCE_S = 120.0  # of a client
HERE = "127.0.0.1,localhost"
QUIET = {  # Gradio neither counts its users, nor asks for a newer version, nor looks for a place in the cloud
    "GRADIO_ANALYTICS_ENABLED": "False",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_OFFLINE": "1",
    "GRADIO_SHARE": "False",
    "GRADIO_SSR_MODE": "False",
}


@dataclass(frozen=True)
class Served:
    """A page that runs: its address, and the folder of its temporary files."""

    url: str
    temporary: Path

    def answers(self) -> bool:
        """Whether it still runs."""
        place = urllib.parse.urlsplit(self.url)
        with socket.socket() as probe:
            return probe.connect_ex((place.hostname, place.port)) == 0


@contextlib.contextmanager
def running(
    profile: str | None = None,
    *,
    nets: Nets | None = None,
    train: Callable[..., Path] | None = None,
    host: str = HOST,
    port: int = 0,
) -> Iterator[Served]:
    """The page, until the block ends; then its port is closed and its temporary files are gone.

    Parameters
    ----------
    profile : str, optional
        Offer nets of this profile alone.
    nets : Nets, optional
        The nets themselves, in place of `profile`.
    train : callable, optional
        See :func:`page.build`.
    host : str
        Address to serve; the default is reached from this computer alone.
    port : int
        0 takes a free one.

    Raises
    ------
    study.UserError
        When the port is taken, or the address is not one of this computer.
    """
    os.environ.update(QUIET)
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = ",".join(filter(None, [os.environ.get("NO_PROXY"), HERE]))
    port = _free(host, port)
    folder = Path(tempfile.mkdtemp(prefix="ser-app-"))
    before = os.environ.get("GRADIO_TEMP_DIR")
    os.environ["GRADIO_TEMP_DIR"] = str(folder)
    try:
        from ser_utils.app import page

        built = page.build(nets or Nets(profile), train=train)
        try:
            yield Served(_launch(built, host, port), folder)
        finally:
            built.close(verbose=False)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.environ.pop("GRADIO_TEMP_DIR")
        if before is not None:
            os.environ["GRADIO_TEMP_DIR"] = before


def ask(url: str, file: Path | str, settings: Settings | None = None) -> dict[str, Any]:
    """What a running page says of a sound file, through its endpoint.

    Parameters
    ----------
    url : str
        Of :class:`Served`.
    file : path
    settings : Settings, optional

    Returns
    -------
    dict
        ``model, denoiser, noise, snr_db, verdict, windows, took_s``; a window holds what a row of
        :attr:`Heard.table` does.
    """
    from gradio_client import handle_file

    chosen = settings or Settings()
    values = (chosen.model, chosen.denoiser, chosen.noise, chosen.snr_db)
    return client(url).predict(handle_file(file), *values, api_name="/predict")


def client(url: str) -> Any:
    """A client of a running page, which waits longer than the 5 to 20 s of its kind: the machine may be busy."""
    from gradio_client import Client

    waits = {"timeout": PATIENCE_S}
    return Client(url, verbose=False, analytics_enabled=False, download_files=False, httpx_kwargs=waits)


def _launch(built, host: str, port: int) -> str:
    from ser_utils.app import page

    built.queue(max_size=200, api_open=False)
    _, url, _ = built.launch(
        server_name=host,
        server_port=port,
        prevent_thread_lock=True,
        quiet=True,
        inline=False,
        share=False,
        show_error=True,
        max_file_size=f"{MAX_MB}mb",
        footer_links=[],
        run_history=False,
        enable_monitoring=False,
        theme=page.theme(),
        css_paths=Path(__file__).with_name("style.css"),
    )
    return url


def _free(host: str, port: int) -> int:
    """The port, or a free one for 0."""
    try:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
            return probe.getsockname()[1]
    except OSError as error:
        raise study.UserError(
            f"the page cannot be served at {host}:{port} ({error.strerror}); choose another --host or --port"
        ) from error


def main(options: argparse.Namespace) -> int:
    """``app``: serve the page until it is interrupted."""
    _free(options.host, options.port)  # told before the seconds that TensorFlow takes
    print("starting; the first time takes half a minute", file=sys.stderr)
    study.seed_everything(0)  # training the first net asks for it, before anything else of TensorFlow
    nets = Nets(options.only)
    for name in list(nets.cards())[:1]:
        nets.load(name)
    sounds.examples()
    with running(nets=nets, host=options.host, port=options.port) as served:
        shown = served.url.replace("0.0.0.0", "127.0.0.1")
        print(f"open {shown} in a browser; Ctrl-C stops it", file=sys.stderr, flush=True)
        if options.host != HOST:
            print(f"anyone who reaches {options.host} can use it, without a password", file=sys.stderr, flush=True)
        while True:
            time.sleep(3600)
    return 0
