#!/bin/bash
# answers PORT PATH [PATTERN]: whether this container's own HTTP server answers 200, with a line that
# matches the pattern. For health checks: bash opens the connection, so no image needs a client.
set -euo pipefail

exec 3<>"/dev/tcp/127.0.0.1/$1"
printf 'GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' "$2" >&3
answer=$(tr -d '\r' <&3)
[[ $answer == "HTTP/1.1 200 "* ]]
[[ -z ${3:-} ]] || grep --quiet --extended-regexp "$3" <<<"$answer"
