#!/usr/bin/env bash
if [ -z "${BASH_VERSION:-}" ]; then exec bash "$0" "$@"; fi # sh run_all.sh
set -euo pipefail

root=$(dirname "$(readlink -f -- "${BASH_SOURCE[0]}")")

show_help() {
    cat <<'HELP'
Usage: ./run_all.sh [OPTIONS]

Installs what is missing (once), then starts every service and keeps them running until Ctrl-C.
Uses the active virtual environment, or one of its own in .venv.

Redis, broker and Qdrant: the URL in REDIS_URL, BROKER_URL or QDRANT_URL, else a server that answers on the
standard local port, else one that needs no installation.

Options:
  --data-dir DIR               event log, Redis files, logs (default: data next to this script; or DATA_DIR)
  --catalogue FILE             CSV with the columns movieId, title, genres, or a folder of MovieLens in any packing;
                               sent if there are no items yet
                               (default: webapp/data/catalogue.csv)
  --history PATH               ratings from before: a folder of MovieLens, or a CSV with user_id, item_id, action or
                               rating, and perhaps timestamp; each is imported once, however often this is started
  --only NAMES                 start only these, comma separated: collector, recommendations, pipeline, webapp,
                               and jobs, which trains (default: all; jobs if RECOMMENDER names one to be trained)
  --embedded                   do not look for servers on standard ports; URLs that are set still win
  --collector-port PORT        default 5000, or COLLECTOR_PORT
  --recommendations-port PORT  default 5001, or RECOMMENDATIONS_PORT
  --webapp-port PORT           default 8000, or WEBAPP_PORT
  --help                       this text
HELP
}


for argument in "$@"; do
    case $argument in
        -h | --help) show_help && exit ;;
    esac
done

# shellcheck source=environment.sh
source "$root/environment.sh"
prepare_environment requirements.txt

export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}"
# What only some recommenders need is installed when one of them is chosen.
if [[ -n ${RECOMMENDER:-} ]]; then
    extras=$("$environment/bin/python" -P -m recsys.launch.extras) || exit 2
    for file in $extras; do prepare_environment "$file"; done
fi
# -P: a folder in the working directory that is named like one of our packages must not hide it.
exec "$environment/bin/python" -P -m recsys.launch "$@"
