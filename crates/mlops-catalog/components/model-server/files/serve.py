"""Runs MLServer over models of an MLflow registry, and waits for those that are not there yet.

    python -I serve.py REPOSITORY

REPOSITORY is a folder with one folder a model, as `mlserver start` takes it. With MLServer's own
`load_models_at_startup` the first model that cannot be had ends the server (mlserver/server.py,
`start`), and Kubernetes waits longer each time before it starts it again. This listens at once and asks
for every model until it is there; that a model is not served yet is seen by its own readiness.

Whether a model can be had is asked in a thread, since MLflow's client blocks, and a server that waits
must still answer that it lives.
"""

import gc

gc.disable()

import asyncio  # noqa: E402
import sys  # noqa: E402

PAUSE_SECONDS = 1.0


def resolve(uri: str):
    """What an address names now: the version, if it is one, and an address that does not move."""
    import mlflow
    from mlflow.models import get_model_info

    get_model_info(uri)
    name, at, alias = uri.removeprefix("models:/").rpartition("@")
    if not at:
        return uri.rpartition("/")[2], uri
    version = mlflow.MlflowClient().get_model_version_by_alias(name, alias).version
    return version, f"models:/{name}/{version}"


async def load(server, model) -> None:
    """Loads a model; tries again until that worked, and says each new reason once.

    The version is told in the model's metadata: that is how it is known which one a server has.
    """
    from mlserver.logging import logger

    said, address = None, model.parameters.uri
    while True:
        try:
            version, model.parameters.uri = await asyncio.to_thread(resolve, address)
            model.versions = [str(version)]
            await server._model_registry.load(model)
            return
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            if reason != said:
                logger.error(f"Model `{model.name}` is not served yet: {reason}")
                said = reason
        await asyncio.sleep(PAUSE_SECONDS)


async def serve(repository: str) -> None:
    """Does what `mlserver start` does (mlserver/cli/main.py), with the models in the background."""
    from mlserver.cli.serve import load_settings
    from mlserver.repository.factory import ModelRepositoryFactory
    from mlserver.server import MLServer

    settings, _ = await load_settings(repository)
    server = MLServer(settings)
    models = await ModelRepositoryFactory.resolve_model_repository(settings).list()
    # What was imported stays for good: later collections need not look at it.
    gc.freeze()
    gc.enable()
    # Kept, since the loop itself holds a task only weakly.
    tasks = [asyncio.create_task(load(server, model)) for model in models]
    await server.start()
    for task in tasks:
        task.cancel()


def main() -> None:
    """Starts the server; returns when it was told to stop."""
    # The imports that the first model would have paid for, and that would hold up every answer.
    import mlflow.pyfunc  # noqa: F401
    import mlflow.sklearn  # noqa: F401
    import mlserver_mlflow  # noqa: F401
    from mlserver.utils import install_uvloop_event_loop

    install_uvloop_event_loop()
    asyncio.run(serve(sys.argv[1]))


if __name__ == "__main__":
    main()
