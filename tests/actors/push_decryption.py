"""Push messages are decrypted by what others have written: http_ece for JavaScript, in a process of Node.

Cost: 50 ms of the processor a message.
"""

from __future__ import annotations

import base64
import json
import subprocess
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec

from tests.npm_packages import PACKAGES, needs_npm_package

needs_http_ece = needs_npm_package("http_ece")
TIMEOUT_S: Final = 120  # on a machine that does something else
_PROGRAM: Final = """
const ece = require('http_ece');
const {body, key, ...parameters} = JSON.parse(require('fs').readFileSync(0));
const privateKey = require('crypto').createECDH('prime256v1');
privateKey.setPrivateKey(Buffer.from(key, 'base64url'));
process.stdout.write(ece.decrypt(Buffer.from(body, 'base64url'), {...parameters, privateKey}));
"""


def decrypted(body: bytes, key: ec.EllipticCurvePrivateKey, auth: bytes, **of_draft: str) -> bytes:
    """Return the text of a message (aes128gcm). of_draft: salt and dh, as the heads of an aesgcm message have them."""
    secret = key.private_numbers().private_value.to_bytes(32, "big")
    told = {"body": _written(body), "key": _written(secret), "authSecret": _written(auth), **of_draft}
    told["version"] = "aesgcm" if of_draft else "aes128gcm"
    done = subprocess.run(
        ["node", "-e", _PROGRAM], input=json.dumps(told).encode(), env={"NODE_PATH": str(PACKAGES / "node_modules")},
        capture_output=True, timeout=TIMEOUT_S, check=False,
    )  # fmt: skip
    assert not done.returncode, done.stderr.decode()
    return done.stdout


def _written(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
