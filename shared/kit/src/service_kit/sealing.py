"""Secrets that must be read again, kept in a database under a key that is not in it (AES-256-GCM).

A sealed text names its key, so that keys can be changed: the first key of the ring seals, every key of it opens. And it
is bound to its place: moved to another row it does not open.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import secrets
from collections.abc import Sequence
from functools import cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from service_kit.settings import Settings, private_file

NONCE_BYTES = 12


class SealBroken(Exception):
    """A text that none of the keys opens here: the key is not in the ring, or the text was changed or moved."""


class Sealer:
    """Seals and opens with a ring of 32-byte keys, the newest first."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._ring = {hashlib.sha256(key).hexdigest()[:8]: AESGCM(key) for key in keys}
        self._newest = next(iter(self._ring))

    def seal(self, text: str, place: str) -> str:
        """The text as it may be kept at `place`."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        hidden = self._ring[self._newest].encrypt(nonce, text.encode(), place.encode())
        return f"v1.{self._newest}.{base64.b64encode(nonce + hidden).decode()}"

    def open(self, sealed: str, place: str) -> str:
        """The text that was sealed for `place`. Raises `SealBroken`."""
        version, _, rest = sealed.partition(".")
        name, _, content = rest.partition(".")
        if version != "v1" or name not in self._ring:
            raise SealBroken
        try:
            box = base64.b64decode(content, validate=True)
            return self._ring[name].decrypt(box[:NONCE_BYTES], box[NONCE_BYTES:], place.encode()).decode()
        except (binascii.Error, InvalidTag, ValueError) as error:
            raise SealBroken from error

    def is_newest(self, sealed: str) -> bool:
        """Whether the newest key sealed it."""
        return sealed.startswith(f"v1.{self._newest}.")


@cache
def sealer(settings: Settings) -> Sealer:
    """The keys of the settings, or one kept in the data directory (embedded and tests)."""
    if settings.sealing_keys:
        return Sealer([base64.b64decode(key.get_secret_value()) for key in settings.sealing_keys])
    made = base64.b64encode(secrets.token_bytes(32))
    return Sealer([base64.b64decode(private_file(settings.data_dir / "sealing.key", made))])
