"""Cursor pages: `{next, previous, results}`, links as full URLs or null."""

from typing import Any

from django.core.exceptions import ValidationError as FieldError
from django.db.models import QuerySet
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.pagination import Cursor, CursorPagination
from rest_framework.request import Request


class CursorPages(CursorPagination):
    page_size = 20
    page_size_query_param = "limit"
    max_page_size = 100

    def decode_cursor(self, request: Request) -> Cursor | None:
        try:
            return super().decode_cursor(request)
        except NotFound as error:
            raise ValidationError({"cursor": ["This cursor is not one that was handed out here."]}) from error

    def paginate_queryset(self, queryset: QuerySet[Any], request: Request, view: Any = None) -> list[Any] | None:
        try:
            return super().paginate_queryset(queryset, request, view)
        except (FieldError, TypeError, ValueError) as error:
            # A cursor that decodes but whose position is no value of the ordering field.
            raise ValidationError({"cursor": ["This cursor is not one that was handed out here."]}) from error
