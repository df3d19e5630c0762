"""Asks a model as often as possible with NVIDIA's client and says how often that was, and what it cost.

    python triton_load.py rest|grpc ADDRESS MODEL CONNECTIONS SECONDS ELEMENTS

One FP32 tensor goes there and one comes back, as raw bytes over REST too. With one connection it is the ordinary
client, with more the one for asyncio, of which the library has one for either protocol.

Needs:  tritonclient[http,grpc], an inference server
Prints: {"requests_per_second":…,"processor_microseconds":…}
"""

import asyncio
import json
import sys
import time

import numpy


def request(library, array):
    """Returns the input tensor and what is wanted back."""
    tensor = library.InferInput("x", list(array.shape), "FP32")
    tensor.set_data_from_numpy(array)
    return [tensor]


def check(answer, elements):
    """Looks at the numbers, as whoever asks does."""
    if answer.as_numpy("y").size != elements:
        sys.exit("the answer has another size")


def one(library, options, address, model, seconds, array):
    """Asks again and again over one connection; returns how often."""
    count = 0
    client = library.InferenceServerClient(address, **options)
    inputs = request(library, array)
    check(client.infer(model, inputs), array.size)
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        check(client.infer(model, inputs), array.size)
        count += 1
    client.close()
    return count


async def many(library, options, address, model, connections, seconds, array):
    """Asks with so many requests under way at any time; returns how often."""
    count = 0
    inputs = request(library, array)

    async def worker(client, until):
        nonlocal count
        while time.perf_counter() < until:
            check(await client.infer(model, inputs), array.size)
            count += 1

    async with library.InferenceServerClient(address, **options) as client:
        until = time.perf_counter() + seconds
        await asyncio.gather(*(worker(client, until) for _ in range(connections)))
    return count


def main():
    """Reads the arguments, asks and prints."""
    form, address, model = sys.argv[1:4]
    connections, seconds, elements = int(sys.argv[4]), float(sys.argv[5]), int(sys.argv[6])
    array = numpy.full(elements, 0.5, dtype=numpy.float32)
    if form == "rest":
        import tritonclient.http as plain
        import tritonclient.http.aio as concurrent

        options = {"conn_limit": connections} if connections > 1 else {}
    else:
        import tritonclient.grpc as plain
        import tritonclient.grpc.aio as concurrent

        options = {}
    wall, processor = time.perf_counter(), time.process_time()
    if connections == 1:
        count = one(plain, options, address, model, seconds, array)
    else:
        count = asyncio.run(many(concurrent, options, address, model, connections, seconds, array))
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    figures = {"requests_per_second": count / wall, "processor_microseconds": processor * 1e6 / count}
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
