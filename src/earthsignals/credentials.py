"""Keys of an object store that stand in a configuration: found, refused, never shown."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from earthsignals.storage import EarthSignalsError

_ENDINGS = (
    "accesskey", "accesskeyid", "secret", "secretkey", "secretaccesskey", "secretid", "sessiontoken",
    "securitytoken", "password", "passwd", "credentials",
)  # fmt: skip
"""Of a name without its case, underscores and the like: `MINIOAccesskey`, `aws_secret_access_key`."""
_NAMES = ("key", "token", "keyid", "apikey", "miniokey", "awskey", "s3key")
_AMAZON = re.compile(r"\b(AKIA|ASIA)[0-9A-Z]{16}\b")
_USER_IN_ADDRESS = re.compile(r"^[A-Za-z][\w+.-]*://[^/?#\s]*@")
"""`http://id:secret@host`, whatever the value is called."""


def refuse_keys(values: Mapping[str, Any], *, source: str = "the configuration", prefix: str = "") -> None:
    """Raise EarthSignalsError, naming `source` and the keys below `prefix`, where `values` hold credentials.

    A key is known by its name, at any depth and whether it is empty or not (`MINIOAccesskey`,
    `aws_secret_access_key`, `secret`, `password`, …), or by its value: one of Amazon's key ids, or an address
    with a user before its host. No value is ever shown.
    """
    found = list(_found(values, prefix))
    if not found:
        return
    named = ", ".join(f"`{name}`" for name in dict.fromkeys(found))
    raise EarthSignalsError(
        f"{source}: {named} would hold keys of an object store, which are not read from here, since files of "
        "settings are shared and committed; remove them and give AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY "
        "in the environment, or name a profile of ~/.aws (keys that were committed or sent need replacing)"
    )


def _found(values: Any, name: str) -> Iterator[str]:
    if isinstance(values, Mapping):
        for key, value in values.items():
            dotted = f"{name}.{key}" if name else str(key)
            if _is_secret(str(key)):
                yield dotted
            else:
                yield from _found(value, dotted)
    elif isinstance(values, str):
        if _AMAZON.search(values) or _USER_IN_ADDRESS.match(values):
            yield name
    elif isinstance(values, Sequence) and not isinstance(values, (bytes, bytearray)):
        for number, value in enumerate(values):
            yield from _found(value, f"{name}[{number}]")


def _is_secret(key: str) -> bool:
    plain = re.sub(r"[^a-z0-9]", "", key.lower())
    return plain in _NAMES or plain.endswith(_ENDINGS)
