#!/bin/sh
# Whether the server accepts connections.
set -eu
bin=$(echo /usr/lib/postgresql/*/bin)
exec "$bin/pg_isready" --quiet --host 127.0.0.1 --port "$1"
