#!/usr/bin/env bash
# shellcheck disable=SC1091,SC2154 # what envoy.lib sets
# Guess: when an upstream does not switch protocols, its ordinary answer reaches the client as it is.
# Seen: with websocket upgrades on, an answer below 400 keeps its status and loses its body (content-length: 0); one of 400 and above passes whole.
set -euo pipefail
. "$(dirname "$0")/envoy.lib"
: >"$dir/answer"
start_upstream
start_envoy '[{match: {prefix: /}, route: {cluster: upstream}}]' "$upstream"
for status in 200 404; do
    printf 'HTTP/1.1 %s X\r\ncontent-length: 5\r\nconnection: close\r\n\r\nwords' $status >"$dir/answer"
    answer=$(ask "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n" | tr -d '\r')
    echo "upstream said $status with 5 bytes:"
    grep -E "^HTTP|^content-length" <<<"$answer"
    seen="${seen:-}$(grep -c words <<<"$answer" || true)"
done
[ "$seen" = "01" ]
