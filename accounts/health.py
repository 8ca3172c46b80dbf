"""Whether this process lives, and whether it can do its work."""

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, JsonResponse

_migrated = False


def service(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"status": "ok", "service": "ai-manus", "version": settings.VERSION})


def healthz(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"status": "ok"})


def readyz(request: HttpRequest) -> JsonResponse:
    """200 when database, migrations and queue are there; 503 with the name of the first that is not."""
    try:
        if not _is_migrated():
            return _unready("migrations")
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM procrastinate_jobs WHERE id = 0")
    except (DatabaseError, InterfaceError):
        connection.close()
        return _unready("database")
    return JsonResponse({"status": "ok"})


def _is_migrated() -> bool:
    # What was applied stays applied for as long as this process runs.
    global _migrated
    if not _migrated:
        executor = MigrationExecutor(connection)
        _migrated = not executor.migration_plan(executor.loader.graph.leaf_nodes())
    else:
        connection.ensure_connection()
    return _migrated


def _unready(what: str) -> JsonResponse:
    return JsonResponse({"status": "unavailable", "missing": what}, status=503)
