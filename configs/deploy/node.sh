#!/usr/bin/env bash
# One node of a cluster, as a container's main process.
#
#   node.sh head      Ray's head, and beside it `serve`, which starts what doesn't run yet and looks after the API workers
#   node.sh worker    a node of the Ray cluster at $ROOKERY_HEAD (HOST:PORT); Ray and `serve` put actors on it
#
#   node.sh run ...   run_cluster.py with these arguments, beside a running node: what it needs to know is put together here
#
# KubeRay's own start command ($KUBERAY_GEN_RAY_START_CMD) takes the place of the one below. More arguments go to `serve`.
# $ROOKERY_REDIS_PASSWORD is the password of Redis, for shards and, where $RAY_REDIS_ADDRESS is set, for Ray's tables.
# Ray asks for a token: the one in the data folder, which all nodes share, unless a RAY_AUTH variable names another.
# If Ray or `serve` ends, so does this, with failure, and whoever runs it starts it again: nothing acknowledged is lost.
set -euo pipefail
cd "$(dirname "$0")/../.."
role=${1:?head, worker or run}
shift

set -a
# shellcheck source=configs/deploy/node.env
. configs/deploy/node.env
PYTHONPATH=$PWD
PATH=$PWD/.venv/bin:$PATH
set +a

# It gets into a URL and into commands, so it may hold nothing that means something there.
if [[ ${ROOKERY_REDIS_PASSWORD:=} == *[!A-Za-z0-9._~-]* ]]; then
    echo 'ROOKERY_REDIS_PASSWORD may hold letters, digits and . _ ~ - only; make one by: openssl rand -hex 24' >&2
    exit 2
fi
if [[ -n $ROOKERY_REDIS_PASSWORD && ${ROOKERY_STORAGE__REDIS_URL:-} == redis*://* && $ROOKERY_STORAGE__REDIS_URL != *@* ]]; then
    export ROOKERY_STORAGE__REDIS_URL=${ROOKERY_STORAGE__REDIS_URL/:\/\//:\/\/:$ROOKERY_REDIS_PASSWORD@}
fi

# shellcheck disable=SC2016  # expanded when it is run
case $role in
    head) start='ray start --head --port=6379 --object-store-memory=134217728 --block --redis-password="$ROOKERY_REDIS_PASSWORD"' ;;
    worker) start='ray start --address="$ROOKERY_HEAD" --object-store-memory=134217728 --block' ;;
    run) exec python run_cluster.py "$@" ;;
    *)
        echo "the first argument is head, worker or run, not $role" >&2
        exit 2
        ;;
esac

# Without this, whether Ray asks for a token depends on what the home directory holds.
if [[ -z ${RAY_AUTH_MODE:-}${RAY_AUTH_TOKEN:-}${RAY_AUTH_TOKEN_PATH:-} ]]; then
    data=${ROOKERY_STORAGE__DATA_DIR:-data}
    [[ $role == worker ]] || python -c 'import sys, pathlib, commands.ray_token as t; t.use_ray_token(pathlib.Path(sys.argv[1]), True)' "$data"
    until [[ -s $data/ray.token ]]; do sleep 1; done
    export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH=$data/ray.token
fi

# Where Ray's dashboard writes its boards for Grafana: beside ours.
if [[ $role != worker && -z ${RAY_METRICS_GRAFANA_DASHBOARD_OUTPUT_DIR:-} ]]; then
    export RAY_METRICS_GRAFANA_DASHBOARD_OUTPUT_DIR=$(realpath -m "${ROOKERY_STORAGE__DATA_DIR:-data}")/observability/dashboards
fi

children=()
end() {
    trap - TERM INT
    kill -TERM "${children[@]}" 2>/dev/null || true
    wait
}
trap 'end; exit 0' TERM INT

# KubeRay's is a line for a shell: it names the password as $REDIS_PASSWORD, and `ulimit ...;` may come first.
start=${KUBERAY_GEN_RAY_START_CMD:-$start}
(set +e && eval "${start/ray start/exec ray start}") &
children+=($!)

if [[ $role == head ]]; then
    address=${ROOKERY_CLUSTER__RAY_ADDRESS:-127.0.0.1:6379}
    until ray health-check --address "$address" >/dev/null 2>&1; do
        kill -0 "${children[0]}" || exit 1
        sleep 1
    done
    python run_cluster.py serve --profile cluster --no-sample "$@" &
    children+=($!)
fi

wait -n || true
end
exit 1
