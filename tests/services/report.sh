# What the scripts here say, and how they say that something is missing. Sourced, never run.
# shellcheck shell=bash

missing=()

say() { printf '\n== %s\n' "$*" >&2; }

note() { printf '   %s\n' "$*" >&2; }

# lack WHAT WHY: remembered, so that everything missing is told at once and not one thing per attempt.
lack() {
    missing+=("$1: $2")
    note "missing: $1: $2"
}

show_log() {
    [[ -s $1 ]] || return 0
    note "the last lines of $1:"
    tail -n 30 "$1" | sed 's/^/   | /' >&2
}

# wait_until SECONDS WHAT PID COMMAND…: polls, bounded, and says what it waited for when that did not come.
# A PID that has ended cannot come up any more.
wait_until() {
    local seconds=$1 what=$2 pid=$3
    shift 3
    note "waiting for $what (at most $seconds s)"
    local deadline=$((SECONDS + seconds))
    until "$@" >/dev/null 2>&1; do
        if ! kill -0 "$pid" 2>/dev/null; then
            note "the process of $what has ended"
            return 1
        fi
        if ((SECONDS >= deadline)); then
            note "$what did not answer within $seconds s"
            return 1
        fi
        sleep 0.2
    done
}

# Missing services end the run before anything is built, unless the caller accepts a smaller suite.
require_nothing_missing() {
    ((${#missing[@]} == 0)) && return 0
    say "missing on this machine"
    printf '   - %s\n' "${missing[@]}" >&2
    if [[ ${LAKEWRIGHT_TEST_ALLOW_MISSING:-0} == 1 ]]; then
        note "going on: LAKEWRIGHT_TEST_ALLOW_MISSING=1; the tests that need it say that they were skipped"
        return 0
    fi
    note "help: install it, or set LAKEWRIGHT_TEST_ALLOW_MISSING=1 to run only what can run"
    return 1
}
