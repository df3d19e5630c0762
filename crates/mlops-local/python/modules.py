"""Prints the modules of `bytecode.txt`: those that have been imported since the environment was made.

    python -I modules.py SITE_PACKAGES > bytecode.txt

Make an environment without bytecode, bring a platform up with it and register, serve and ask a model:
Python then has written bytecode for exactly what that needs.
"""

import os
import sys


def main() -> None:
    """Walks the packages and prints the source of each compiled module, sorted."""
    site = sys.argv[1]
    names = []
    for folder, _, files in os.walk(site):
        if os.path.basename(folder) == "__pycache__":
            parent = os.path.relpath(os.path.dirname(folder), site)
            names += [os.path.normpath(os.path.join(parent, file.split(".")[0] + ".py")) for file in files]
    print("\n".join(sorted(set(names))))


if __name__ == "__main__":
    main()
