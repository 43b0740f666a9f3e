"""moto_server with S3's own root elements where moto 5.2 writes others, which the AWS SDK for Rust refuses to read."""

import sys

from moto.s3.responses import S3Response
from moto.server import main

ROOTS = {
    "ListPartsResponse": "ListPartsResult",
    "ListMultipartUploadsResponse": "ListMultipartUploadsResult",
}
serialized = S3Response.serialized


def corrected(self, *args, **kwargs):
    status, headers, body = serialized(self, *args, **kwargs)
    for wrong, right in ROOTS.items():
        body = body.replace(wrong, right) if isinstance(body, str) else body.replace(wrong.encode(), right.encode())
    headers["content-length"] = str(len(body.encode() if isinstance(body, str) else body))
    return status, headers, body


S3Response.serialized = corrected
main(sys.argv[1:])
