#!/usr/bin/env bash
# The system's Chromium, for tests that look at pages as a user sees them.
#
#   services/chromium.sh check|install|start FOLDER|stop FOLDER
#
# Nothing is left running: `start` prints EXECUTABLE, which playwright starts without a window for each
# test and ends again.
source "$(dirname "$0")/common.sh"

check() { need_programs chromium; }

# DejaVu, so that the pages' letters are the same on machines without any font.
install() { apt_install chromium fonts-dejavu-core; }

start() {
    check
    mkdir -p "$1"
    echo "EXECUTABLE=$(command -v chromium)"
}

case "${1:-}" in
    check) check ;;
    install) install ;;
    start) start "${2:?folder}" ;;
    stop) : ;;
    *) die "say check, install, start FOLDER or stop FOLDER" ;;
esac
