"""Runs MLServer as one process, and starts it fast and warm.

    python -I model_server.py REPOSITORY SAMPLE

REPOSITORY is the folder of `settings.json` and of one folder a model, as `mlserver start` takes it;
SAMPLE is a folder with an MLflow model. The sample is loaded and asked once before the server
listens, outside of its registry: an open port then means that the imports which the first model
would have paid for (and which would have held up every other request) are done.

Models that were served before and whose files are here are loaded before it listens, so that a server
that was restarted answers at once. One that cannot be loaded is said in the log and left out: with
`load_models_at_startup` it would end the server (mlserver/server.py, `start`). Models whose files are
elsewhere are loaded by calls, since their registry may start later than this server.

No garbage collection while importing: nothing that an import makes is garbage yet.
"""

import gc

gc.disable()

import asyncio  # noqa: E402
import json  # noqa: E402
import os  # noqa: E402
import sys  # noqa: E402


def warm_up(sample: str) -> None:
    """Loads the sample model and lets it predict its own example."""
    import mlflow.pyfunc
    import mlserver_mlflow  # noqa: F401

    model = mlflow.pyfunc.load_model(sample)
    model.predict(model.input_example)


def is_candidate(folder: str, name: str) -> bool:
    """Whether an interrupted switch of versions left this model: it was tried under a name not its own."""
    try:
        with open(os.path.join(folder, name, "model-settings.json"), encoding="utf-8") as file:
            return json.load(file).get("mlops", {}).get("model", name) != name
    except (OSError, ValueError, AttributeError):
        return False


async def load_what_is_here(server, settings) -> None:
    """Loads the models with files on this machine."""
    from mlserver.logging import logger
    from mlserver.repository.factory import ModelRepositoryFactory

    folder = settings.model_repository_root
    for model in await ModelRepositoryFactory.resolve_model_repository(settings).list():
        place = model.parameters.uri if model.parameters else None
        if not place or not os.path.isdir(place) or is_candidate(folder, model.name):
            continue
        try:
            await server._model_registry.load(model)
        except Exception:
            logger.exception(f"Model `{model.name}` is not served: it cannot be loaded.")


async def serve(repository: str) -> None:
    """Does what `mlserver start` does (mlserver/cli/main.py)."""
    from mlserver.cli.serve import load_settings
    from mlserver.server import MLServer

    settings, models = await load_settings(repository)
    server = MLServer(settings)
    await load_what_is_here(server, settings)
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
