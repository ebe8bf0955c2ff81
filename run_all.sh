#!/usr/bin/env bash
# Speech emotion recognition on unseen speakers, in noise: from a fresh clone to the HTML report.
#
#   ./run_all.sh                 the embedded synthetic corpus; no download besides the Python packages
#   SER_DATA=/corpora ./run_all.sh full      every real corpus that has a folder there
#
# Machine: Linux or macOS, 2 cores, 6 GB of memory, 4 GB of disk; no GPU. Minutes on 2 cores: 2 to 5 for the
# environment (once), 5 for demo, 60 to 120 for full with RAVDESS and EmoDB; seconds when nothing changed.
# Stop it at any time (Ctrl-C, kill): the next call goes on where it stopped.
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
VENV=$ROOT/.venv
LOCK=$ROOT/requirements.lock
STAMP=$VENV/.complete     # checksum of the lock that .venv was completed with
HALF=$VENV/.installing    # process that is filling .venv
NEEDED_KB=3500000

usage() {
    cat <<'TEXT'
usage: ./run_all.sh [PROFILE] [--from NN] [--only NN] [--dry-run] [--cores N]
       ./run_all.sh [PROFILE] --from-predictions
       ./run_all.sh WORD [ARGUMENTS]

PROFILE is a file under config/ (default: demo): smoke, demo, full, or your own.
  --only NN    bring one notebook, and what it needs, up to date (NN: its number)
  --from NN    run this and all later notebooks, even if nothing changed
  --dry-run    say what would run, and why
  --from-predictions
               train nothing: scores, evaluation and pages anew from the saved predictions
  --cores N    processor cores to use (default: all)

Words:
  test                 lint, format, notebook contract, unit tests, and the smoke profile end to end
  data list            what is here of every corpus, its licence, and how to get it [--profile P]
  data get NAME…       fetch corpora, or say what has to be done by hand [--dry-run] [--keep]
  data check [NAME…]   name every file of a real corpus that is missing, unreadable or foreign [--profile P]
  verify [PROFILE]     compare outputs with the run record, and scores with the saved predictions and with the
                       published results, or with another run: verify [PROFILE] --against DIR
  lab                  open the notebooks in JupyterLab
  bench [NAME…]        time and memory of every part on this machine, in one table [--against FILE]; by name:
                       growth (1, 4 and 16 times as many clips), features (against librosa), app
  app                  try the nets in the browser: microphone or file [--host H] [--port N] [--profile P]

Environment variables:
  SER_DATA      folder that holds the real corpora (default: data/raw), or an address such as s3://bucket/corpora
  SER_OUT       folder for derived data, figures and reports (default: this one)
  SER_JOBS      processes of a parallel map (default: one per core)
  SER_DASK_SCHEDULER
                address of a Dask scheduler, tcp://HOST:PORT: parallel maps run on its workers
  PIP_INDEX_URL package index to install from
TEXT
}

say() { printf '%s\n' "$*" >&2; }
fail() { say "error: $1"; exit "${2:-1}"; }

# --- the environment ---------------------------------------------------------------------------------------------

# First pin of the lock that the given Python does not satisfy; nothing when it satisfies all.
missing_pin() {
    "$1" - "$LOCK" <<'PYTHON' 2>/dev/null || echo "a readable list of packages"
import re, sys
from importlib import metadata

if not (3, 11) <= sys.version_info[:2] <= (3, 12):
    sys.exit(print(f"Python 3.11 or 3.12 (it has {sys.version.split()[0]})"))
try:
    from packaging.requirements import Requirement
except ImportError:
    sys.exit(print("packaging"))
have = {re.sub(r"[-_.]+", "-", d.name).lower(): d.version for d in metadata.distributions()}
for line in open(sys.argv[1], encoding="utf-8"):
    if re.match(r"[A-Za-z0-9]", line):
        pin = Requirement(line.rstrip(" \\\n"))
        found = have.get(re.sub(r"[-_.]+", "-", pin.name).lower())
        if (pin.marker is None or pin.marker.evaluate()) and not (found and pin.specifier.contains(found, prereleases=True)):
            sys.exit(print(f"{pin.name}{pin.specifier}" + (f" (it has {found})" if found else "")))
PYTHON
}

lock_sum() { cksum <"$LOCK"; }

# Python of an environment that is to be used as it is: an active one, or one on the PATH (a container).
ready_python() {
    local active=${VIRTUAL_ENV:-${CONDA_PREFIX:-}} missing
    if [[ -n $active && $active != "$VENV" && -x $active/bin/python ]]; then
        missing=$(missing_pin "$active/bin/python")
        if [[ -z $missing ]]; then echo "$active/bin/python"; return 0; fi
        say "the active environment $active lacks $missing: using .venv instead"
    fi
    if [[ -f $STAMP && ! -e $HALF && $(cat "$STAMP") == "$(lock_sum)" ]]; then echo "$VENV/bin/python"; return 0; fi
    if [[ ! -e $VENV ]] && command -v python3 >/dev/null && [[ -z $(missing_pin python3) ]]; then
        command -v python3; return 0
    fi
    return 1
}

# A Python 3.11 or 3.12 that can make virtual environments.
find_python() {
    local candidate home=${HOME:-/nonexistent}
    for candidate in python3.11 python3.12 python3 python \
        "$home"/.pyenv/versions/3.1[12]*/bin/python "$home"/.local/share/uv/python/cpython-3.1[12]*/bin/python3 \
        /opt/homebrew/bin/python3.1[12] /usr/local/bin/python3.1[12] "$home"/{mini,ana}conda3/bin/python; do
        if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' \
            >/dev/null 2>&1; then
            "$candidate" -c 'import sys; print(sys.executable)'; return 0
        fi
    done
    return 1
}

make_environment() {
    local python free
    if [[ -f $HALF ]]; then
        if kill -0 "$(cat "$HALF")" 2>/dev/null; then
            fail "process $(cat "$HALF") is installing into .venv; wait until it ends"
        fi
        say "The last installation was interrupted: starting it over."
        rm -rf "$VENV"
    fi
    free=$(df -Pk "$ROOT" | awk 'NR == 2 {print $4}')
    if [[ ! -e $VENV && $free -lt $NEEDED_KB ]]; then
        fail "the Python environment needs $((NEEDED_KB / 1000)) MB of disk, $ROOT has $((free / 1000)) MB free; free some, or clone to another disk"
    fi
    if [[ ! -x $VENV/bin/python ]]; then
        python=$(find_python) || fail "no Python 3.11 or 3.12 with venv found ($(python3 --version 2>/dev/null || echo 'no python3') is on the PATH); install one (apt install python3.11-venv, brew install python@3.11), or: conda env create -f environment.yml"
        say "Making the environment in .venv with $("$python" --version) ($python); once, 2 to 5 minutes."
        mkdir -p "$VENV" && echo $$ >"$HALF"
        "$python" -m venv "$VENV" || fail "$python cannot make a virtual environment in $VENV; see its message above"
    elif [[ -z $(missing_pin "$VENV/bin/python") ]]; then
        lock_sum >"$STAMP"
        return
    else
        say "Bringing .venv to the pins of requirements.lock: it lacks $(missing_pin "$VENV/bin/python")."
    fi
    echo $$ >"$HALF"
    install_pins
    lock_sum >"$STAMP"
    rm -f "$HALF"
}

install_pins() {
    local log=$VENV/install.log
    local pip=("$VENV/bin/python" -m pip --disable-pip-version-check --no-input)
    unset PYTHONDONTWRITEBYTECODE # compiled once, every notebook starts faster
    "${pip[@]}" install --retries 2 --progress-bar off --require-hashes -r "$LOCK" 2>&1 | tee "$log" | progress ||
        fail "$(install_problem "$log")"
    "${pip[@]}" install --no-deps --no-build-isolation -e "$ROOT" >>"$log" 2>&1 || fail "$(install_problem "$log")"
    say "The environment is complete."
}

# One line for every 25 packages of pip's many.
progress() {
    local line n=0 total
    total=$(grep -c '^[A-Za-z0-9]' "$LOCK")
    while IFS= read -r line; do
        case $line in
            Collecting*) n=$((n + 1)); ((n % 25)) || say "  found $n of at most $total packages" ;;
            Installing\ collected*) say "  unpacking; one or two minutes" ;;
        esac
    done
}

install_problem() {
    local log=$1
    if grep -qi 'no space left' "$log"; then
        echo "the disk of $ROOT is full; free $((NEEDED_KB / 1000)) MB, then run again"
    elif grep -qiE 'NewConnectionError|Failed to establish|resolve|ConnectTimeout|ReadTimeout|ProxyError|Connection refused|Network is unreachable' "$log"; then
        echo "the package index cannot be reached ($(pip_index)); connect, or set PIP_INDEX_URL to one that can, then run again"
    elif grep -q 'DO NOT MATCH THE HASHES' "$log"; then
        echo "a package does not match its hash in requirements.lock; see $log, and distrust that index"
    else
        echo "pip failed: $(grep -m1 -i '^ *error' "$log" || tail -n 1 "$log"); see $log"
    fi
}

pip_index() { "$VENV/bin/python" -m pip config get global.index-url 2>/dev/null || echo "${PIP_INDEX_URL:-the default index of pip}"; }

profiles() { (cd "$ROOT/config" && echo *.yaml) | sed 's/\.yaml//g'; }

enter_environment() {
    PYTHON=$(ready_python) || { make_environment; PYTHON=$VENV/bin/python; }
    export PYTHONPATH="$ROOT${PYTHONPATH:+:$PYTHONPATH}" # this checkout, whatever ser_utils the environment knows
    PATH=$(dirname "$PYTHON"):$PATH
}

# --- the words ---------------------------------------------------------------------------------------------------

run_tests() {
    local failed=() started=$SECONDS
    check() {
        local at=$SECONDS
        say "── $1"
        "${@:2}" || failed+=("$1")
        say "   $((SECONDS - at)) s"
    }
    cd "$ROOT"
    check "lint" "$PYTHON" -m ruff check .
    check "format" "$PYTHON" -m ruff format --check .
    check "tests" "$PYTHON" -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder "$@"
    if ((${#failed[@]})); then say "FAILED: ${failed[*]} ($((SECONDS - started)) s)"; exit 1; fi
    say "all checks passed ($((SECONDS - started)) s)"
}

main() {
    local word=${1:-demo}
    case $word in
        -h | --help | help) usage; exit 0 ;;
        app) shift; enter_environment; exec "$PYTHON" -m ser_utils app "$@" ;;
        data)
            case ${2:-} in
                list | get | check) shift; enter_environment; exec "$PYTHON" -m ser_utils data "$@" ;;
                *) fail "'data${2:+ $2}' is unknown; use: data list, data get NAME…, data check [NAME…]" 2 ;;
            esac ;;
        bench) shift; enter_environment; exec "$PYTHON" -m ser_utils bench "$@" ;;
        verify)
            shift
            local profile=demo
            if [[ ${1:-} && ${1:-} != -* ]]; then profile=$1; shift; fi
            enter_environment
            exec "$PYTHON" -m ser_utils verify --profile "$profile" "$@" ;;
        lab) shift; enter_environment; exec "$PYTHON" -m jupyterlab --notebook-dir "$ROOT" "$@" ;;
        test) shift; enter_environment; run_tests "$@" ;;
        -*) enter_environment; exec "$PYTHON" -m ser_utils run --profile demo "$@" ;;
        *)
            [[ -f $ROOT/config/$word.yaml ]] || fail "'$word' is neither a word nor a profile under config/ ($(profiles)); see ./run_all.sh --help" 2
            shift || true
            enter_environment
            exec "$PYTHON" -m ser_utils run --profile "$word" "$@" ;;
    esac
}

main "$@"
