"""`python -m tests.template`: make the database from which tests clone theirs, while something else goes on.

The first test that needs it makes it too; migrating from nothing keeps one processor busy for the better part
of a minute.
"""

import os

from tests import environment


def main() -> None:
    environment.prepare()
    os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
    from tests import embedded

    cluster = embedded.start_cluster()
    try:
        embedded.template(cluster)
    finally:
        cluster.stop()


if __name__ == "__main__":
    main()
