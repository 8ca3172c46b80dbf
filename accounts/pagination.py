"""Cursor pages: `{next, previous, results}`, links as full URLs or null."""

from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError as FieldError
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.pagination import Cursor, CursorPagination
from rest_framework.request import Request

LINK = {"type": "string", "format": "uri", "nullable": True}


class CursorPages(CursorPagination):
    page_size = 20
    page_size_query_param = "limit"
    max_page_size = 100

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list[Any] | None:
        self.position_field = queryset.model._meta.get_field(self.ordering[0].removeprefix("-"))
        return super().paginate_queryset(queryset, request, view)

    def decode_cursor(self, request: Request) -> Cursor | None:
        """Raises ValidationError for a cursor that was not handed out here."""
        try:
            cursor = super().decode_cursor(request)
            if cursor is not None:
                self._check(cursor)
        except (NotFound, FieldError, ValueError) as error:
            raise ValidationError({"cursor": ["This cursor is not one that was handed out here."]}) from error
        return cursor

    def _check(self, cursor: Cursor) -> None:
        if cursor.position is None:
            if cursor.offset == 0:
                raise ValueError("This is where the first page begins, and that has no cursor.")
            return
        value = self.position_field.to_python(cursor.position)
        if isinstance(value, datetime) and value.tzinfo is None:
            raise ValueError("The positions of our cursors are aware.")

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        return {
            "type": "object",
            "required": ["next", "previous", "results"],
            "properties": {"next": LINK, "previous": LINK, "results": schema},
        }

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        parameters: list[dict[str, Any]] = super().get_schema_operation_parameters(view)
        for parameter in parameters:
            if parameter["name"] == self.page_size_query_param:
                parameter["schema"] |= {"minimum": 1, "maximum": self.max_page_size, "default": self.page_size}
        return parameters
