"""Runs MLServer as one process, and starts it fast and warm.

    python -I model_server.py REPOSITORY SAMPLE

REPOSITORY is the folder of `settings.json` and of one folder a model, as `mlserver start` takes it;
SAMPLE is a folder with an MLflow model. The sample is loaded and asked once before the server
listens, outside of its registry: an open port then means that the imports which the first model
would have paid for (and which would have held up every other request) are done.

No garbage collection while importing: nothing that an import makes is garbage yet.
"""

import gc

gc.disable()

import asyncio  # noqa: E402
import sys  # noqa: E402


def warm_up(sample: str) -> None:
    """Loads the sample model and lets it predict its own example."""
    import mlflow.pyfunc
    import mlserver_mlflow  # noqa: F401

    model = mlflow.pyfunc.load_model(sample)
    model.predict(model.input_example)


async def serve(repository: str) -> None:
    """Does what `mlserver start` does (mlserver/cli/main.py)."""
    from mlserver.cli.serve import load_settings
    from mlserver.server import MLServer

    settings, models = await load_settings(repository)
    server = MLServer(settings)
    # What was imported stays for good: later collections need not look at it.
    gc.freeze()
    gc.enable()
    await server.start(models)


def main() -> None:
    """Starts the server; returns when it was told to stop."""
    repository, sample = sys.argv[1], sys.argv[2]
    from mlserver.utils import install_uvloop_event_loop

    warm_up(sample)
    install_uvloop_event_loop()
    asyncio.run(serve(repository))


if __name__ == "__main__":
    main()
