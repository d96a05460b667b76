#!/bin/sh
# The browser and fonts that the tests of the record need. Does nothing where they are present.
# Debian and Ubuntu are served here; elsewhere install Chromium by hand and set TERAKOYA_BROWSER to it.
set -eu

packages="chromium chromium-driver fonts-noto-cjk fonts-noto-color-emoji"

# One word to standard output where a browser is found that starts.
find_browser() {
    for name in "${TERAKOYA_BROWSER:-}" chromium chromium-browser google-chrome google-chrome-stable; do
        if [ -n "$name" ] && command -v "$name" >/dev/null 2>&1 && "$name" --version >/dev/null 2>&1; then
            command -v "$name"
            return 0
        fi
    done
    return 1
}

has_fonts() {
    command -v fc-list >/dev/null 2>&1 || return 1
    [ -n "$(fc-list :lang=ja family)" ] && fc-list | grep -qi emoji
}

if find_browser >/dev/null && has_fonts; then
    exit 0
fi
if ! command -v apt-get >/dev/null 2>&1; then
    echo "No Chromium found, or no Japanese and emoji fonts, and there is no apt-get to install them." >&2
    echo "Install Chromium and Noto CJK and emoji fonts, then set TERAKOYA_BROWSER to the browser's path." >&2
    exit 1
fi

as_root=""
if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null 2>&1; then
        echo "Ask someone with the right to: apt-get install $packages" >&2
        exit 1
    fi
    as_root="sudo"
fi

log=$(mktemp)
trap 'rm -f "$log"' EXIT
echo "Installing $packages (once)" >&2
# Ubuntu's chromium-driver is a snap wrapper without Debian's name; the tests need only the browser itself.
if ! { $as_root apt-get update -qq \
    && $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $packages; } >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    echo "apt-get could not install $packages; its last words stand above." >&2
    exit 1
fi
find_browser >/dev/null || { echo "Installed, but no browser starts: try 'chromium --version'." >&2; exit 1; }
