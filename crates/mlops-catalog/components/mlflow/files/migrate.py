"""Brings MLflow's two databases up to date: that of runs and models, and that of its users.

    python -I migrate.py WAIT_SECONDS

Does what `mlflow db upgrade` (mlflow/db.py) and the `db upgrade` of its sign-in
(mlflow/server/auth/db/cli.py) do, without a password in an argument: the addresses come from where the
server takes them, _MLFLOW_SERVER_FILE_STORE and MLFLOW_AUTH_CONFIG_PATH. It may be started before the
databases exist, and waits for them for WAIT_SECONDS.
"""

import configparser
import os
import sys
import time


def wait_for(engine, deadline: float) -> None:
    """Returns when the database accepts the engine's role; after the deadline its error is raised."""
    import sqlalchemy

    while True:
        try:
            with engine.connect():
                return
        except sqlalchemy.exc.OperationalError:
            if time.monotonic() >= deadline:
                raise
        time.sleep(0.2)


def migrate(deadline: float) -> None:
    """Migrates one database after the other."""
    import sqlalchemy

    def connect(uri: str):
        engine = sqlalchemy.create_engine(uri, poolclass=sqlalchemy.pool.NullPool)
        wait_for(engine, deadline)
        return engine

    from mlflow.store.db import utils
    from mlflow.server.auth.db import utils as accounts

    store = connect(os.environ["_MLFLOW_SERVER_FILE_STORE"])
    if utils._is_empty_database(store):
        utils._initialize_tables(store)
    else:
        utils._upgrade_db(store)
    config = configparser.ConfigParser()
    with open(os.environ["MLFLOW_AUTH_CONFIG_PATH"], encoding="utf-8") as file:
        config.read_file(file)
    accounts.migrate_if_needed(connect(config["mlflow"]["database_uri"]), "head")


def main() -> None:
    """Migrates; what a database says against it is the last line."""
    try:
        migrate(time.monotonic() + float(sys.argv[1]))
    except Exception as error:
        import traceback

        import sqlalchemy

        # A database that is not there needs no trace of ours; anything else does.
        if not isinstance(error, sqlalchemy.exc.OperationalError):
            traceback.print_exception(type(error), error, error.__traceback__)
        words = str(getattr(error, "orig", None) or error).strip().replace("\n", "; ")
        sys.exit(f"The databases were not migrated: {type(error).__name__}: {words}")
    print("Both databases are up to date.")


if __name__ == "__main__":
    main()
