"""nginx as a contestant: one worker process that serves the files of a folder, as a CDN's machine would."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.processes import BenchError, accepts, free_port, running

START_TIMEOUT_S = 30.0
_CONFIGURATION = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/nginx.error;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    sendfile on;
    keepalive_requests 1000000000;
    types {{ image/jpeg jpg; }}
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port};
        location /media/ {{
            alias {files}/;
            add_header Cache-Control "public, max-age=31536000, immutable";
            add_header X-Content-Type-Options nosniff;
            add_header Content-Security-Policy "default-src 'none'; sandbox";
            add_header Access-Control-Allow-Origin *;
        }}
    }}
}}
"""


@contextmanager
def nginx(folder: Path, files: Path) -> Iterator[int]:
    """Serve a folder's files below /media/ while the block runs; yields the port."""
    if shutil.which("nginx") is None:
        raise BenchError("this scenario measures beside nginx: on Debian, apt-get install nginx-light")
    own, port = folder / "nginx", free_port()
    own.mkdir(exist_ok=True)
    configuration = own / "nginx.conf"
    user = "" if os.geteuid() else "user root;\n"  # or its worker could not read what is ours
    configuration.write_text(user + _CONFIGURATION.format(folder=own, port=port, files=files), encoding="utf-8")
    command = ["nginx", "-c", str(configuration), "-p", str(own), "-e", str(own / "nginx.error")]
    with running(command, folder / "nginx.log", lambda: accepts(("127.0.0.1", port)), START_TIMEOUT_S):
        yield port
