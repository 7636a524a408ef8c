#!/bin/sh
# Runs `unclip "$@"`; exec, so that a stop signal reaches it and the drain begins.
# NAME_FILE=/run/secrets/x sets NAME from a file: for the variables that hold secrets.
set -eu

for name in UNCLIP_REDIS_URL UNCLIP_STORAGE_ACCESS_KEY_ID UNCLIP_STORAGE_SECRET_ACCESS_KEY; do
    eval "file=\${${name}_FILE:-}"
    if [ -n "$file" ]; then
        export "$name=$(cat "$file")"
    fi
done

exec python -m unclip "$@"
