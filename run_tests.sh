#!/usr/bin/env bash
# Installs what the tests need and runs everything that CI runs: style, types, tests against real servers.
#   ./run_tests.sh               all of it
#   ./run_tests.sh tests/unit    arguments go to pytest
if [ -z "${BASH_VERSION:-}" ]; then exec bash "$0" "$@"; fi # sh run_tests.sh
set -euo pipefail

root=$(dirname "$(readlink -f -- "${BASH_SOURCE[0]}")")
cd "$root"

# On Debian as root (as in CI) the real servers and a browser are installed; elsewhere tests of a missing one are
# skipped.
install_servers() {
    local wanted=()
    [[ -x /usr/bin/redis-server ]] || wanted+=(redis-server)
    [[ -x /usr/lib/rabbitmq/bin/rabbitmq-server ]] || wanted+=(rabbitmq-server)
    [[ -x /usr/bin/chromium ]] || wanted+=(chromium fonts-dejavu-core)
    command -v cc >/dev/null || wanted+=(gcc g++ libc6-dev)
    if [[ ${#wanted[@]} == 0 ]]; then return; fi
    if [[ $(id -u) != 0 ]] || ! command -v apt-get >/dev/null; then
        echo "Not installed, so their tests are skipped: ${wanted[*]}"
        return
    fi
    echo "Installing ${wanted[*]}"
    # Only the programs: the packages must not start servers on the standard ports.
    local policy=/usr/sbin/policy-rc.d
    if [[ ! -e $policy ]]; then
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod +x "$policy"
        trap 'rm -f /usr/sbin/policy-rc.d' EXIT
    fi
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${wanted[@]}" >/dev/null
}

install_servers
# shellcheck source=environment.sh
source "$root/environment.sh"
prepare_environment requirements-dev.txt
# Built from source; where there is no compiler its tests are skipped.
if command -v cc >/dev/null; then
    prepare_environment requirements-lightfm.txt
else
    echo "Not installed, so its tests are skipped: lightfm, which needs a C compiler"
fi

export PATH="$environment/bin:$PATH"

# As modules: the programs in bin do not survive that the folder is moved.
python -m ruff check .
python -m ruff format --check .
python -m mypy
python -m pytest "$@"
