#!/bin/sh
# Runs the scenarios of eventsource.mjs in Chromium. Playwright's driver is installed on first use, and whenever it is pinned anew.
set -eu
here=$(dirname "$0")
folder=${SLUICE_BROWSER_FOLDER:-build/browser}

mkdir -p "$folder"
if ! cmp -s "$here/package-lock.json" "$folder/installed.json"; then
	cp "$here/package.json" "$here/package-lock.json" "$folder"
	npm ci --prefix "$folder" --ignore-scripts --no-audit --no-fund
	cp "$here/package-lock.json" "$folder/installed.json"
fi
SLUICE_BROWSER_FOLDER=$folder exec node "$here/eventsource.mjs"
