"""Runs MLServer over models of an MLflow registry, and waits for those that are not there yet.

    python -I serve.py REPOSITORY VERSIONS

REPOSITORY is a folder with one folder a model, as `mlserver start` takes it; beside its settings lies
`probe.json`, a test request, when the platform has one. VERSIONS says which version of a model these
pods serve; one that it does not name is what the model's address names now.

With MLServer's own `load_models_at_startup` the first model that cannot be had ends the server
(mlserver/server.py, `start`), and Kubernetes waits longer each time before it starts it again. This
listens at once and asks for every model until it is there; that a model is not served yet is seen by
its own readiness. Nor is it ready before it has answered a test request rightly: one that does not
ends the server, which says why.

Whether a model can be had is asked in a thread, since MLflow's client blocks, and a server that waits
must still answer that it lives.
"""

import gc

gc.disable()

import asyncio  # noqa: E402
import json  # noqa: E402
import math  # noqa: E402
import os  # noqa: E402
import pathlib  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402

PAUSE_SECONDS = 1.0

# A connection ends after its first answer beyond this age. So clients come to pods that are new, and
# have left one that goes before it does: it is shorter than the pause before the server is told to stop.
CONNECTION_SECONDS = 8.0

# The annotation that names the version of a generation of pods.
ANNOTATION = "mlops.dev/serves-"

# How far a number may be from what is expected, relative to it.
TOLERANCE = 1e-6


class WrongAnswer(Exception):
    """A version that is loaded, and does not answer its test request as it must."""


def pinned(versions: pathlib.Path, name: str):
    """The address of the version that these pods serve: of their description, or noted when it was first served."""
    try:
        for line in (versions / "annotations").read_text().splitlines():
            key, _, value = line.partition("=")
            if key == ANNOTATION + name:
                return json.loads(value)
        return (versions / name).read_text().strip()
    except FileNotFoundError:
        return None


def version_of(client, uri: str, pin):
    """The registered version that an address names; none for a logged model, which has no versions."""
    from mlflow.exceptions import MlflowException

    address = uri.removeprefix("models:/")
    name, _, alias = address.rpartition("@")
    if name and pin and pin.rpartition("/")[0] == f"models:/{name}":
        try:
            return client.get_model_version(name, pin.rpartition("/")[2])
        except MlflowException as error:
            # It was deleted: the alias says what takes its place.
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
    if name:
        return client.get_model_version_by_alias(name, alias)
    name, _, number = address.rpartition("/")
    return client.get_model_version(name, number) if name else None


def resolve(uri: str, pin):
    """What an address names: the version, an address that does not move, and the version's own test request."""
    import mlflow
    from mlflow.models import get_model_info

    found = version_of(mlflow.MlflowClient(), uri, pin)
    if found is None:
        get_model_info(uri)
        return uri.rpartition("/")[2], uri, None
    fixed = f"models:/{found.name}/{found.version}"
    get_model_info(fixed)
    return str(found.version), fixed, found.tags.get("mlops.probe")


def zeros(inputs):
    """A test request made of what a model says of its inputs; none when it says too little."""
    plain = {"BOOL": False, "BYTES": "", "FP32": 0.0, "FP64": 0.0}
    made = []
    for tensor in inputs or []:
        datatype = str(tensor.datatype)
        shape = [max(size, 1) for size in tensor.shape]
        if datatype in ("FP16", "BF16") or math.prod(shape) > 1 << 22:
            return None
        data = [plain.get(datatype, 0)] * math.prod(shape)
        made.append({"name": tensor.name, "shape": shape, "datatype": datatype, "data": data})
    return {"inputs": made} if made else None


def flat(data):
    """The elements of a tensor, which may be given row by row."""
    if not isinstance(data, list):
        return [data]
    return [element for part in data for element in flat(part)]


def same(found, expected) -> bool:
    """Compares texts and truth values exactly, numbers to six digits."""
    numbers = (int, float)
    if isinstance(found, numbers) and isinstance(expected, numbers):
        return abs(found - expected) <= TOLERANCE * max(abs(expected), 1.0)
    return found == expected


async def prove(server, model, probe) -> None:
    """Asks a model its test request, the way that a request over REST goes, before anybody else can."""
    from mlserver.types import InferenceRequest

    probe = dict(probe or zeros(model.inputs) or {})
    expected = probe.pop("expected", [])
    if not probe:
        # Without any idea of its inputs, being loaded is all that can be asked of it.
        return
    plane = server._data_plane
    try:
        request = plane._prepare_payload(InferenceRequest.model_validate(probe), model)
        answer = await model.predict(request)
        found = flat(json.loads(answer.model_dump_json())["outputs"][0]["data"])
    except Exception as error:
        raise WrongAnswer(f"{type(error).__name__}: {error}") from error
    if expected and not (
        len(found) == len(expected) and all(map(same, found, expected))
    ):
        raise WrongAnswer(f"expected {str(expected)[:200]}, got {str(found)[:200]}")


def proving(server, proofs: dict):
    """The way to make a model for MLServer's registry, so that to be loaded means to have answered."""
    from mlserver.registry import model_initialiser

    def make(settings):
        model = model_initialiser(settings)
        load = model.load

        async def load_and_prove() -> bool:
            is_loaded = await load()
            await prove(server, model, proofs.get(settings.name))
            return is_loaded

        model.load = load_and_prove
        return model

    return make


async def load(server, model, folder: pathlib.Path, versions: pathlib.Path, proofs) -> None:
    """Loads a model; tries again until that worked, and says each new reason once.

    The version is told in the model's metadata: that is how it is known which one a server has.
    """
    from mlserver.logging import logger

    own = folder / model.name / "probe.json"
    said, address = None, model.parameters.uri
    while True:
        version = None
        try:
            pin = pinned(versions, model.name)
            version, uri, tag = await asyncio.to_thread(resolve, address, pin)
            model.parameters.uri, model.versions = uri, [version]
            text = own.read_text() if own.exists() else tag
            proofs[model.name] = json.loads(text) if text else None
            await server._model_registry.load(model)
            return
        except WrongAnswer as error:
            give_up(f"Version {version} of `{model.name}` does not answer as it must: {error}")
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            if reason != said:
                logger.error(f"Model `{model.name}` is not served yet: {reason}")
                said = reason
        await asyncio.sleep(PAUSE_SECONDS)


def give_up(reason: str) -> None:
    """Ends the server at once. Kubernetes keeps the reason with the pod's state."""
    print(reason, file=sys.stderr, flush=True)
    try:
        pathlib.Path("/dev/termination-log").write_text(reason)
    except OSError as error:
        print(f"The reason cannot be noted: {error}", file=sys.stderr, flush=True)
    os._exit(1)


def aging():
    """Connections of HTTP that end after an answer when they are old."""
    from uvicorn.protocols.http.h11_impl import H11Protocol

    class Aging(H11Protocol):
        def connection_made(self, transport) -> None:
            super().connection_made(transport)
            self.end = time.monotonic() + CONNECTION_SECONDS

        def handle_events(self) -> None:
            before = self.cycle
            super().handle_events()
            # The answer to a request that has just come is not begun yet.
            if self.cycle is not before and time.monotonic() > self.end:
                headers = self.cycle.default_headers
                self.cycle.default_headers = [*headers, (b"connection", b"close")]

    return Aging


async def serve(repository: str, versions: str) -> None:
    """Does what `mlserver start` does (mlserver/cli/main.py), with the models in the background."""
    from mlserver.cli.serve import load_settings
    from mlserver.repository.factory import ModelRepositoryFactory
    from mlserver.server import MLServer

    settings, _ = await load_settings(repository)
    settings._custom_rest_server_settings = {"http": aging()}
    age = int(CONNECTION_SECONDS * 1000)
    settings._custom_grpc_server_settings = {"grpc.max_connection_age_ms": age}
    server = MLServer(settings)
    proofs: dict = {}
    server._model_registry._model_initialiser = proving(server, proofs)
    models = await ModelRepositoryFactory.resolve_model_repository(settings).list()
    # What was imported stays for good: later collections need not look at it.
    gc.freeze()
    gc.enable()
    folder, noted = pathlib.Path(repository), pathlib.Path(versions)
    # Kept, since the loop itself holds a task only weakly.
    tasks = [
        asyncio.create_task(load(server, model, folder, noted, proofs))
        for model in models
    ]
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
    asyncio.run(serve(sys.argv[1], sys.argv[2]))


if __name__ == "__main__":
    main()
