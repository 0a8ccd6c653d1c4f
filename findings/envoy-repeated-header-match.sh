#!/usr/bin/env bash
# shellcheck disable=SC1091,SC2154 # what envoy.lib sets
# Guess: a header that is sent twice is one list (RFC 9110 5.2), so a route's exact matcher is compared with "1,2".
# Seen: each line is compared alone and any of them may match; "1,2" matches only a single line that says so.
set -euo pipefail
. "$(dirname "$0")/envoy.lib"
route() { echo "{match: {prefix: /$1, headers: [{name: x-a, string_match: {exact: \"$2\"}}]}, direct_response: {status: 200}}"; }
start_envoy "[$(route one 1), $(route two 2), $(route both 1,2)]" 9
for path in one two both; do
    twice=$(ask "GET /$path HTTP/1.1\r\nHost: a\r\nx-a: 1\r\nx-a: 2\r\nConnection: close\r\n\r\n" | head -1 | cut -d' ' -f2)
    joined=$(ask "GET /$path HTTP/1.1\r\nHost: a\r\nx-a: 1,2\r\nConnection: close\r\n\r\n" | head -1 | cut -d' ' -f2)
    echo "/$path: two lines $twice, one line $joined"
    seen="${seen:-}$twice $joined;"
done
[ "$seen" = "200 404;200 404;404 200;" ]
