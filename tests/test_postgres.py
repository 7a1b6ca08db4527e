"""The test server itself: each test gets an empty database of its own."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.postgres


def test_each_test_gets_an_empty_database_of_its_own(postgres_server, postgres_url):
    import psycopg

    other = postgres_server.new_database()
    with psycopg.connect(postgres_url) as connection:
        connection.execute("CREATE TABLE seen (a int)")

    with psycopg.connect(other) as connection:
        tables = connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone()

    assert tables == (0,)
