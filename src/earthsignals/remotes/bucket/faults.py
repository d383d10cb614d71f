"""What goes wrong with a bucket, in sentences: whose fault it is, what stays, what to do. Never a secret."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from earthsignals.storage import EarthSignalsError

if TYPE_CHECKING:
    from earthsignals.remotes.bucket.connection import Bucket

_REFUSED = {"403", "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "Forbidden", "InvalidToken",
            "ExpiredToken", "AuthorizationHeaderMalformed", "RequestTimeTooSkewed"}  # fmt: skip
_GONE = {"404", "NoSuchKey", "NotFound", "NoSuchVersion"}
_CHANGED = {"412", "PreconditionFailed", "416", "InvalidRange", "RequestedRangeNotSatisfiable"}
_BUSY = {"SlowDown", "ServiceUnavailable", "InternalError", "RequestTimeout", "500", "502", "503", "504"}


class ObjectError(EarthSignalsError):
    """One object cannot be had; the others may."""


class Changed(Exception):
    """The object is not the listed version any more."""


@contextmanager
def trouble(sentence: Callable[[BaseException], Exception]) -> Iterator[None]:
    """Turn what s3fs, botocore and aiohttp raise into `sentence(error)`."""
    from aiohttp import ClientError as HttpError
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except (OSError, ValueError, KeyError, BotoCoreError, ClientError, HttpError) as error:
        # Without its cause: botocore's own text may quote a request with its signature.
        raise sentence(error) from None


def as_object_error(bucket: Bucket, key: str, error: BaseException) -> Exception:
    """Of one object: gone, changed or refused; else as of its bucket."""
    code = _code(error)
    where = f"s3://{bucket.name}/{key}"
    if code in _CHANGED:
        return Changed()
    if code in _GONE:
        return ObjectError(f"{where} was listed, but is not in the bucket any more; run again to list anew")
    if code in ("AccessDenied", "403", "Forbidden"):
        return ObjectError(f"{where} may not be read with these keys ({code}); ask the bucket's owner for it")
    if code and code not in _BUSY | _REFUSED | {"NoSuchBucket"}:
        return ObjectError(f"{where}: {bucket.server} answered with {code}; see to the object and run again")
    return as_bucket_error(bucket, error)


def as_bucket_error(bucket: Bucket, error: BaseException) -> EarthSignalsError:
    """Of all of it: keys refused or missing, no such bucket, or no answer."""
    code, kind = _code(error), type(error).__name__
    if code in _REFUSED:
        profile = f"the profile `{bucket.profile}` of ~/.aws, or name none and " if bucket.profile else ""
        return EarthSignalsError(
            f"{bucket.shown} refused the keys ({code}): correct {profile}AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY in the environment"
        )
    if code in _GONE | {"NoSuchBucket"}:
        return EarthSignalsError(
            f"{bucket.server} has no bucket `{bucket.name}`; correct its name or endpoint_url, or make it"
        )
    if kind in ("NoCredentialsError", "PartialCredentialsError"):
        return EarthSignalsError(
            f"{bucket.shown} wants keys and there are none, or half of them: set AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY in the environment, or name a profile of ~/.aws"
        )
    if kind == "ProfileNotFound":
        return EarthSignalsError(
            f"there is no profile `{bucket.profile or 'of AWS_PROFILE'}` in ~/.aws: correct its name, or set "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment"
        )
    cause = code or kind
    return EarthSignalsError(
        f"{bucket.shown} does not answer as an S3 server does ({cause}): check endpoint_url and the network, "
        "and run again; what has been fetched is kept"
    )


def _code(error: BaseException) -> str:
    """S3's own name of the error behind `error`, or ""."""
    from botocore.exceptions import ClientError

    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, ClientError):
            return str(seen.response.get("Error", {}).get("Code", ""))
        seen = seen.__cause__ or seen.__context__
    return ""
