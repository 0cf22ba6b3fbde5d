#!/usr/bin/env bash
# One node of a cluster, as a container's main process.
#
#   node.sh head      Ray's head, and beside it `serve`, which starts what doesn't run yet and looks after the API workers
#   node.sh worker    a node of the Ray cluster at $ROOKERY_HEAD (HOST:PORT); Ray and `serve` put actors on it
#
# KubeRay's own start command ($KUBERAY_GEN_RAY_START_CMD) takes the place of the one below. More arguments go to `serve`.
# Ray asks for a token: the one in the data folder, which all nodes share, unless a RAY_AUTH variable names another.
# If Ray or `serve` ends, so does this, with failure, and whoever runs it starts it again: nothing acknowledged is lost.
set -euo pipefail
cd "$(dirname "$0")/../.."
role=${1:?head or worker}
shift

set -a
# shellcheck source=configs/deploy/node.env
. configs/deploy/node.env
PYTHONPATH=$PWD
PATH=$PWD/.venv/bin:$PATH
set +a

case $role in
    head) start="ray start --head --port=6379 --object-store-memory=134217728 --block" ;;
    worker) start="ray start --address=${ROOKERY_HEAD:-} --object-store-memory=134217728 --block" ;;
    *)
        echo "the first argument is head or worker, not $role" >&2
        exit 2
        ;;
esac

# Without this, whether Ray asks for a token depends on what the home directory holds.
if [[ -z ${RAY_AUTH_MODE:-}${RAY_AUTH_TOKEN:-}${RAY_AUTH_TOKEN_PATH:-} ]]; then
    data=${ROOKERY_STORAGE__DATA_DIR:-data}
    [[ $role == worker ]] || python -c 'import sys, pathlib, actors.ray_token as t; t.use_ray_token(pathlib.Path(sys.argv[1]), True)' "$data"
    until [[ -s $data/ray.token ]]; do sleep 1; done
    export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH=$data/ray.token
fi

children=()
end() {
    trap - TERM INT
    kill -TERM "${children[@]}" 2>/dev/null || true
    wait
}
trap 'end; exit 0' TERM INT

# shellcheck disable=SC2086  # a command line, in words
${KUBERAY_GEN_RAY_START_CMD:-$start} &
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
