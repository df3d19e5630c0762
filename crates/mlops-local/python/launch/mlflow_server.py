"""Runs the MLflow tracking server with sign-in as one process, and starts it fast.

    python -I mlflow_server.py HOST PORT WAIT_SECONDS

`mlflow server` imports everything twice: once in the command, to check and to migrate, and once in
the `uvicorn` child that it starts (mlflow/server/__init__.py, `_run_server`). This does the work of
both in one process, reading the same variables that the command hands to its child
(mlflow/server/constants.py) and MLFLOW_AUTH_CONFIG_PATH. In particular:

- no garbage collection while importing: nothing that an import makes is garbage yet, and looking
  for it costs a fifth of the start;
- the tracking database is migrated in a thread beside the imports that do not need it, since the
  migration mostly waits for the database;
- it listens when both databases are migrated and the first administrator exists, so that an answer
  of `/health` means more than it does with the command, where the first API call migrates.

With WAIT_SECONDS above zero it may be started before its databases exist: it tries to connect for so
long, and ends with the database's own words when the time is over.
"""

import gc

gc.disable()

import os  # noqa: E402
import sys  # noqa: E402
import threading  # noqa: E402
import time  # noqa: E402


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
        time.sleep(0.02)


def migrate(uri: str, deadline: float, outcome: list) -> None:
    """Brings an empty or old tracking database up to date, as MLflow's own store does."""
    try:
        import sqlalchemy
        from mlflow.store.db import utils

        engine = sqlalchemy.create_engine(uri, poolclass=sqlalchemy.pool.NullPool)
        wait_for(engine, deadline)
        utils._safe_initialize_tables(engine)
    except Exception as error:
        outcome.append(error)


def first_line(error: BaseException) -> str:
    """The database's own words, without SQLAlchemy's link."""
    return str(getattr(error, "orig", None) or error).strip().replace("\n", "; ")


def application(deadline: float):
    """Imports MLflow, migrates both databases and returns the application."""
    import alembic.command  # noqa: F401
    import mlflow.store.model_registry.sqlalchemy_store  # noqa: F401
    import mlflow.store.tracking.sqlalchemy_store  # noqa: F401

    uri = os.environ["_MLFLOW_SERVER_FILE_STORE"]
    outcome: list = []
    # Started when all that it uses is imported, so that the two threads never wait for each
    # other's module locks.
    migration = threading.Thread(target=migrate, args=(uri, deadline, outcome), daemon=True)
    migration.start()
    import uvicorn  # noqa: F401
    from mlflow.server import auth, handlers

    # The first artefact would pay for this import; here it fills the wait for the database.
    import boto3  # noqa: F401

    migration.join()
    if outcome:
        raise outcome[0]
    handlers.initialize_backend_stores(uri, uri, os.environ.get("_MLFLOW_SERVER_ARTIFACT_ROOT"))
    import sqlalchemy

    users = sqlalchemy.create_engine(auth.auth_config.database_uri, poolclass=sqlalchemy.pool.NullPool)
    wait_for(users, deadline)
    return auth.create_app()


def main() -> None:
    """Starts the server; returns when it was told to stop."""
    host, port, wait = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    try:
        app = application(time.monotonic() + wait)
    except Exception as error:
        import traceback

        import sqlalchemy

        # A database that is not there needs no trace of ours; anything else does.
        if not isinstance(error, sqlalchemy.exc.OperationalError):
            traceback.print_exception(type(error), error, error.__traceback__)
        sys.exit(f"MLflow did not start: {type(error).__name__}: {first_line(error)}")
    import uvicorn

    # What was imported stays for good: later collections need not look at it.
    gc.freeze()
    gc.enable()
    uvicorn.run(app, host=host, port=port, access_log=False, timeout_graceful_shutdown=5)


if __name__ == "__main__":
    main()
