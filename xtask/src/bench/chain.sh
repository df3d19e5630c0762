#!/usr/bin/env bash
# The servers of the local target without `mlops`.
#
#   chain.sh hand     the whole chain one step after another, each step as its own documentation says:
#                     https://mlflow.org/docs/latest/self-hosting/security/basic-http-auth/
#                     https://mlserver.readthedocs.io/en/latest/getting-started/index.html
#   chain.sh starts   each server's own start alone, with the commands that `mlops` uses
#
# Needs:  FOLDER (empty; this script works there), POSTGRES_BIN, POSTGRES_USER (when root), ENVIRONMENT (the folder of
#         the Python environment), VERSITYGW, and the ports PG, S3, MLFLOW, HTTP, GRPC, METRICS
# Prints: one line of JSON, the seconds of each step
#
# Every server is started in a process group of its own and stopped by the number of that group.
set -euo pipefail
set -m
cd "$FOLDER"

PASSWORD=a-password-of-the-bench
SECRET=a-secret-key-of-the-bench
groups=()
report=
as_user=()
if [ "$(id -u)" = 0 ]; then
    as_user=(setpriv --reuid="$POSTGRES_USER" --regid="$POSTGRES_USER" --clear-groups)
fi

stop_all() {
    trap - EXIT
    local index
    for ((index = ${#groups[@]} - 1; index >= 0; index--)); do
        stop "${groups[index]}"
    done
}
trap stop_all EXIT
trap 'exit 130' INT TERM

stop() {
    kill -TERM -- "-$1" 2>/dev/null || return 0
    for _ in $(seq 100); do
        kill -0 -- "-$1" 2>/dev/null || return 0
        sleep 0.05
    done
    kill -KILL -- "-$1" 2>/dev/null || true
}

# start LOG COMMAND...: its group's number is then in $!
start() {
    local log=$1
    shift
    "$@" </dev/null >"$log" 2>&1 &
    groups+=($!)
}

now() { echo "${EPOCHREALTIME/[.,]/}"; }

# step NAME: the time since the last step belongs to NAME.
began=$(now)
step() {
    local ended
    ended=$(now)
    report+=${report:+,}$(printf '"%s":%d.%06d' "$1" $(((ended - began) / 1000000)) $(((ended - began) % 1000000)))
    began=$(now)
}

# until_ok GROUP LOG COMMAND...: tries until it succeeds, the server is gone, or two minutes are over.
until_ok() {
    local group=$1 log=$2 deadline=$((SECONDS + 120))
    shift 2
    until "$@" >/dev/null 2>&1; do
        if ((SECONDS > deadline)) || ! kill -0 -- "-$group" 2>/dev/null; then
            echo "no answer to: $*" >&2
            tail -n 20 "$log" >&2
            exit 1
        fi
        sleep 0.02
    done
}

sql() { PGPASSWORD=$PASSWORD psql -q -h 127.0.0.1 -p "$PG" -U postgres -v ON_ERROR_STOP=1 "$@"; }

start_postgres() {
    mkdir postgres
    printf %s "$PASSWORD" >postgres/password
    if [ -n "${as_user[*]}" ]; then chown -R "$POSTGRES_USER" postgres; fi
    "${as_user[@]}" "$POSTGRES_BIN/initdb" -D "$FOLDER/postgres/data" -U postgres --auth=scram-sha-256 -E UTF8 \
        --no-locale --pwfile "$FOLDER/postgres/password" >initdb.log 2>&1
    start postgres.log "${as_user[@]}" "$POSTGRES_BIN/postgres" -D "$FOLDER/postgres/data" \
        -c listen_addresses=127.0.0.1 -c port="$PG" -c unix_socket_directories= -c max_connections=60 \
        -c shared_buffers=64MB -c max_wal_size=256MB -c wal_level=minimal -c max_wal_senders=0 -c jit=off
    until_ok $! postgres.log sql -c 'select 1'
    sql -c "create role mlflow login password '$PASSWORD'" -c 'create database mlflow owner mlflow' \
        -c 'create database mlflow_auth owner mlflow'
}

start_s3() {
    # A folder below the gateway's own is a bucket.
    mkdir -p s3/mlflow
    start s3.log env ROOT_ACCESS_KEY=bench ROOT_SECRET_KEY="$SECRET" "$VERSITYGW" --quiet --port "127.0.0.1:$S3" posix s3
    until_ok $! s3.log curl -s "http://127.0.0.1:$S3/"
}

export AWS_ACCESS_KEY_ID=bench AWS_SECRET_ACCESS_KEY=$SECRET AWS_DEFAULT_REGION=us-east-1
export AWS_EC2_METADATA_DISABLED=true MLFLOW_S3_ENDPOINT_URL=http://127.0.0.1:$S3
export MLFLOW_DISABLE_TELEMETRY=true DO_NOT_TRACK=true MLFLOW_FLASK_SERVER_SECRET_KEY=$SECRET
export MLFLOW_AUTH_CONFIG_PATH=$FOLDER/auth.ini MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false
export MLFLOW_ENABLE_WORKSPACES=false
mkdir home tmp
export HOME=$FOLDER/home TMPDIR=$FOLDER/tmp PATH=$ENVIRONMENT/bin:$PATH
STORE=postgresql+psycopg2://mlflow:$PASSWORD@127.0.0.1:$PG/mlflow
cat >auth.ini <<END
[mlflow]
default_permission = NO_PERMISSIONS
database_uri = postgresql+psycopg2://mlflow:$PASSWORD@127.0.0.1:$PG/mlflow_auth
admin_username = admin
admin_password = $PASSWORD
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
auth_cache_ttl_seconds = 60
END

hand() {
    began=$(now)
    start_postgres
    start_s3
    step postgres_and_s3
    mlflow db upgrade "$STORE" >upgrade.log 2>&1
    step migrate
    start mlflow.log mlflow server --app-name basic-auth --host 127.0.0.1 --port "$MLFLOW" --workers 1 \
        --backend-store-uri "$STORE" --artifacts-destination s3://mlflow
    until_ok $! mlflow.log curl -sf "http://127.0.0.1:$MLFLOW/health"
    step mlflow
    curl -sSf -u "admin:$PASSWORD" -H 'content-type: application/json' -d '{"max_results":1}' \
        "http://127.0.0.1:$MLFLOW/api/2.0/mlflow/experiments/search" >first.json
    step first_call
    export MLFLOW_TRACKING_URI=http://127.0.0.1:$MLFLOW MLFLOW_TRACKING_USERNAME=admin
    export MLFLOW_TRACKING_PASSWORD=$PASSWORD
    python >train.log 2>&1 - <<'END' || { tail -n 20 train.log >&2; exit 1; }
import mlflow
from mlflow.models import infer_signature
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

table, classes = load_iris(return_X_y=True, as_frame=True)
model = LogisticRegression(max_iter=1000).fit(table, classes)
with mlflow.start_run():
    signature = infer_signature(table, model.predict(table))
    mlflow.sklearn.log_model(model, name="iris", signature=signature, registered_model_name="iris")
mlflow.MlflowClient().set_registered_model_alias("iris", "champion", "1")
END
    step train_and_register
    mkdir -p models/iris
    cat >models/settings.json <<END
{"host":"127.0.0.1","http_port":$HTTP,"grpc_port":$GRPC,"metrics_port":$METRICS,"parallel_workers":0,"debug":false}
END
    cat >models/iris/model-settings.json <<'END'
{"name":"iris","implementation":"mlserver_mlflow.MLflowRuntime","parameters":{"uri":"models:/iris@champion"}}
END
    start mlserver.log mlserver start models
    until_ok $! mlserver.log curl -sf "http://127.0.0.1:$HTTP/v2/models/iris/ready"
    step model_server
    infer
    step inference
}

infer() {
    local column inputs=
    for column in 'sepal length' 'sepal width' 'petal length' 'petal width'; do
        inputs+=${inputs:+,}"{\"name\":\"$column (cm)\",\"shape\":[1,1],\"datatype\":\"FP64\",\"data\":[1.5]}"
    done
    curl -sSf -H 'content-type: application/json' \
        -d "{\"parameters\":{\"content_type\":\"pd\"},\"inputs\":[$inputs]}" \
        "http://127.0.0.1:$HTTP/v2/models/iris/infer" | grep -q '"outputs"'
}

starts() {
    began=$(now)
    start_postgres
    step postgres
    export _MLFLOW_SERVER_FILE_STORE=$STORE _MLFLOW_SERVER_REGISTRY_STORE=$STORE _MLFLOW_SGI_NAME=uvicorn
    export _MLFLOW_SERVER_ARTIFACT_ROOT=mlflow-artifacts:/ _MLFLOW_SERVER_ARTIFACT_DESTINATION=s3://mlflow
    export _MLFLOW_SERVER_SERVE_ARTIFACTS=true _MLFLOW_IN_JOB_EXECUTOR=false
    export MLFLOW_SERVER_ALLOWED_HOSTS=127.0.0.1:$MLFLOW
    began=$(now)
    start mlflow.log python -I "$ENVIRONMENT/launch/mlflow_server.py" 127.0.0.1 "$MLFLOW" 0
    local group=$!
    until_ok $group mlflow.log curl -sf "http://127.0.0.1:$MLFLOW/health"
    step mlflow
    stop $group
    mkdir models
    export MLSERVER_HOST=127.0.0.1 MLSERVER_HTTP_PORT=$HTTP MLSERVER_GRPC_PORT=$GRPC MLSERVER_METRICS_PORT=$METRICS
    export MLSERVER_PARALLEL_WORKERS=0 MLSERVER_LOAD_MODELS_AT_STARTUP=false MLSERVER_DEBUG=false
    began=$(now)
    start mlserver.log python -I "$ENVIRONMENT/launch/model_server.py" models "$ENVIRONMENT/sample/iris"
    until_ok $! mlserver.log curl -sf "http://127.0.0.1:$HTTP/v2/health/ready"
    step model_server
}

"$1"
stop_all
echo "{$report}"
