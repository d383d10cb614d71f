"""Objects of an S3 bucket (Amazon's, MinIO's or any other): listed, read, mirrored into a folder.

    bucket = Bucket("superdarn", endpoint_url="http://127.0.0.1:9000", prefix="2015/")
    for object in list_objects(bucket):
        content = read(bucket, object)
    mirror(bucket, Path("records"))

Nothing is ever written to a bucket or deleted from it. Keys come from the environment or a profile alone;
`refuse_keys` finds those that stand in a configuration.
"""

from earthsignals.credentials import refuse_keys
from earthsignals.remotes.bucket.connection import Bucket
from earthsignals.remotes.bucket.mirroring import Mirrored, mirror
from earthsignals.remotes.bucket.objects import Object, ObjectError, list_objects, read, stat

__all__ = [
    "Bucket", "Mirrored", "Object", "ObjectError", "list_objects", "mirror", "read", "refuse_keys", "stat",
]
