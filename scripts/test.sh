#!/usr/bin/env bash
# Installs what the tests need (the test extra, Chromium) and runs them all: lint, types, unit tests, pages, browser.
#
#   bash scripts/test.sh [arguments of pytest]
#
# Uses the active virtual environment, or makes .venv. Where Chromium cannot be installed the browser tests are
# skipped; REQUIRE_BROWSER=1 makes them fail instead.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ -z "${VIRTUAL_ENV:-}" ]; then
    [ -x .venv/bin/python ] || python3 -m venv .venv
    # shellcheck disable=SC1091
    . .venv/bin/activate
fi
python -m pip install --quiet --disable-pip-version-check -e ".[dev]"
# A reference that saliency's measures are compared with. Without what it asks for: of that, opencv-python would overwrite
# opencv-python-headless, and need a screen's libraries.
python -m pip install --quiet --disable-pip-version-check --no-deps "quantus>=0.6,<0.7"

if ! command -v chromium >/dev/null && ! command -v chromium-browser >/dev/null; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        { apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq -y install chromium; } >/dev/null ||
            echo "Chromium could not be installed: the browser tests are skipped" >&2
    else
        echo "Chromium is not installed: the browser tests are skipped" >&2
    fi
fi

ruff check .
ruff format --check .
# Types are checked while the tests run, many of which wait; what is wrong is said at the end.
types="$(mktemp)"
mypy >"$types" 2>&1 &
checking=$!
# Every test computes on one thread, and many wait for a server or a browser: three files at a time keep two cores busy.
# A file stays in one process, with its servers and models. Trainings in the background take a lower priority than who
# starts them; at the lowest one, they and the tests that wait for them have equal shares.
failed=0
nice -n 19 python -m pytest -n 3 --dist loadfile "$@" || failed=$?
wait "$checking" || { [ "$failed" != 0 ] || failed=1; }
cat "$types"
rm -f "$types"
exit "$failed"
