#!/usr/bin/env bash
# shellcheck disable=SC1091,SC2154 # what envoy.lib sets
# Guess: a direct response with status 204 has no body on the wire, whatever the route's body says (RFC 9110 15.3.5).
# Seen: content-length and the body are sent.
set -euo pipefail
. "$(dirname "$0")/envoy.lib"
start_envoy '[{match: {prefix: /}, direct_response: {status: 204, body: {inline_string: "words"}}}]' 9
answer=$(ask "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
echo "$answer"
grep -q "^HTTP/1.1 204" <<<"$answer" && grep -q "^content-length: 5" <<<"$answer" && tail -1 <<<"$answer" | grep -q "words$"
