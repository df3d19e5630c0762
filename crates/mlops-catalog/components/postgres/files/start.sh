#!/bin/sh
# Makes a cluster in the volume when there is none, then becomes the server.
#
#     start.sh PASSWORD_FILE [ARGUMENT OF postgres]...
set -eu

password=$1
shift
bin=$(echo /usr/lib/postgresql/*/bin)
# Not the volume itself, which may hold `lost+found`.
data=/data/cluster

if [ ! -e "$data" ]; then
    # What an interrupted attempt has left was never used.
    rm -rf "$data.new"
    "$bin/initdb" --pgdata "$data.new" --username postgres --pwfile "$password" \
        --auth scram-sha-256 --encoding UTF8 --no-locale
    # A role has databases of its own, and may enter no others.
    "$bin/postgres" --single -D "$data.new" -c exit_on_error=on postgres >/dev/null <<'SQL'
REVOKE CONNECT ON DATABASE postgres FROM PUBLIC;
REVOKE CONNECT ON DATABASE template1 FROM PUBLIC;
SQL
    sync
    mv "$data.new" "$data"
fi

# A volume that was mounted anew may have been opened to its group, which PostgreSQL refuses.
chmod 700 "$data"
exec "$bin/postgres" -D "$data" "$@"
