"""The databases that tests get: what they hold at first, and again after a test that committed."""

import psycopg
import pytest
from django.contrib.contenttypes.models import ContentType
from django.db import connection

from deploy.postgres import Cluster
from tests.embedded import RunningCluster


def count(table: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {table}")  # noqa: S608 - names from this file
        return int(cursor.fetchone()[0])


def commit_something() -> None:
    assert count("procrastinate_jobs") == 0
    assert ContentType.objects.filter(app_label="gone").count() == 0
    assert count("billing_plan") >= 5
    ContentType.objects.create(app_label="gone", model="gone")
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO procrastinate_jobs (task_name, queue_name) VALUES ('gone', 'gone')")
        cursor.execute("UPDATE billing_plan SET name = 'gone'")


@pytest.mark.parametrize("_round", [1, 2])
@pytest.mark.django_db(transaction=True)
def test_a_test_that_commits_leaves_no_row_and_takes_no_plan(_round: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM billing_plan WHERE name = 'gone'")
        assert cursor.fetchone() == (0,)
    commit_something()


@pytest.mark.parametrize("_round", [1, 2])
@pytest.mark.django_db
def test_a_test_in_a_transaction_finds_the_same_rows(_round: int) -> None:
    commit_something()


def test_a_fresh_database_has_the_plans_and_is_no_other_test_s(fresh_database: str) -> None:
    with psycopg.connect(fresh_database) as fresh:
        row = fresh.execute("SELECT count(*) FROM billing_plan").fetchone()
    assert row is not None
    assert row[0] >= 5
    assert connection.settings_dict["NAME"] not in fresh_database.rpartition("/")[2]


def test_a_cluster_of_its_own_survives_a_crash(own_cluster: Cluster, running_cluster: RunningCluster) -> None:
    with psycopg.connect(own_cluster.url("app")) as client:
        client.execute("INSERT INTO procrastinate_jobs (task_name, queue_name) VALUES ('kept', 'kept')")
    own_cluster.stop("immediate")
    own_cluster.start()
    with psycopg.connect(own_cluster.url("app")) as client:
        assert client.execute("SELECT task_name FROM procrastinate_jobs").fetchone() == ("kept",)
    assert own_cluster.port != running_cluster.port
