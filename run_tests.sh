#!/usr/bin/env bash
# Installs what the tests need and runs everything that CI runs: style, types, tests against real servers.
#   ./run_tests.sh               all of it
#   ./run_tests.sh tests/unit    only these tests (arguments go to pytest)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

# Debian as root (as in CI): install the real servers. Elsewhere tests of a missing server are skipped.
install_servers() {
  local wanted=()
  command -v redis-server >/dev/null || wanted+=(redis-server)
  [ -x /usr/lib/rabbitmq/bin/rabbitmq-server ] || wanted+=(rabbitmq-server)
  [ ${#wanted[@]} -gt 0 ] || return 0
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "not installed, so their tests are skipped: ${wanted[*]}"
    return 0
  fi
  echo "installing ${wanted[*]}"
  # Only the programs: the packages must not start servers on the standard ports.
  local policy=/usr/sbin/policy-rc.d
  if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod +x "$policy"
    trap 'rm -f /usr/sbin/policy-rc.d' EXIT
  fi
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${wanted[@]}" >/dev/null
}

install_servers
source ./environment.sh requirements-dev.txt
export REDIS_URL= BROKER_URL= QDRANT_URL="${QDRANT_URL:-}"
unset REDIS_URL BROKER_URL
ruff check .
ruff format --check .
mypy
exec_tests() { python -m pytest "$@"; }
exec_tests "$@"
