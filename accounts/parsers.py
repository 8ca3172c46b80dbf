"""JSON bodies, read no further than the limit."""

import io
from collections.abc import Mapping
from typing import IO, Any

from django.conf import settings
from rest_framework.exceptions import ParseError
from rest_framework.parsers import JSONParser

from accounts.errors import TooLarge


class BoundedJSONParser(JSONParser):
    """Raises TooLarge past MAX_BODY_BYTES, whatever Content-Length claims; ParseError for what is nested too deep."""

    def parse(
        self, stream: IO[bytes], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        body = stream.read(settings.MAX_BODY_BYTES + 1)
        if len(body) > settings.MAX_BODY_BYTES:
            raise TooLarge(settings.MAX_BODY_BYTES)
        try:
            return super().parse(io.BytesIO(body), media_type, parser_context)
        except (RecursionError, UnicodeDecodeError) as error:
            raise ParseError("The body is not JSON that can be read.") from error
