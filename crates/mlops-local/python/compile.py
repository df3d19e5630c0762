"""Compiles the modules that the servers import, in several processes.

    python -I compile.py SITE_PACKAGES FINAL_SITE_PACKAGES WORKERS < NAMES

NAMES holds one path a line, relative to SITE_PACKAGES. What is not there, or is compiled already, is
left out; what cannot be compiled is compiled, or refused, by whoever imports it. FINAL_SITE_PACKAGES
is where the files will be when they are run: it is what traces show.
"""

import gc
import importlib.util
import os
import py_compile
import sys

gc.disable()


def main() -> None:
    """Shares the work out by size and waits for the workers."""
    site, final, workers = sys.argv[1], sys.argv[2], max(1, int(sys.argv[3]))
    names = [line.strip() for line in sys.stdin if line.strip()]
    sizes = []
    for name in names:
        path = os.path.join(site, name)
        if os.path.exists(path) and not os.path.exists(importlib.util.cache_from_source(path)):
            sizes.append((os.path.getsize(path), name))
    shares = [[0, []] for _ in range(workers)]
    for size, name in sorted(sizes, reverse=True):
        share = min(shares, key=lambda share: share[0])
        share[0] += size
        share[1].append(name)
    children = []
    for _, share in shares:
        child = os.fork()
        if child == 0:
            for name in share:
                try:
                    py_compile.compile(os.path.join(site, name), dfile=os.path.join(final, name))
                except Exception:
                    continue
            os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)


if __name__ == "__main__":
    main()
