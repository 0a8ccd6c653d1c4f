#!/usr/bin/env bash
# shellcheck disable=SC1091,SC2154 # what kubernetes.lib sets
# Guess: a JSON patch's "test" compares strings, not how JSON spells them (RFC 6902 4.6): what has just been read tests equal.
# Seen: the patch's bytes are compared with those of the server's own encoder, which writes "<" as an escape. With a string that holds "<", a plain test
# is refused (422), one that spells it as the server would passes; what the same patch put there has to be spelt as the patch spelt it.
set -euo pipefail
. "$(dirname "$0")/kubernetes.lib"
start_apiserver
maps=/api/v1/namespaces/default/configmaps
call POST $maps application/json '{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"rule": "x<y", "plain": "x=y"}}'
call GET $maps/a
echo "stored: $(python3 -c 'import json, sys; print(json.loads(sys.argv[1])["data"])' "$answer")"
patch() {
    call PATCH $maps/a application/json-patch+json "[$1]"
    echo "$1: $status"
    seen="${seen:-}$status "
}
patch '{"op": "test", "path": "/data/plain", "value": "x=y"}'
patch '{"op": "test", "path": "/data/rule", "value": "x<y"}'
patch '{"op": "test", "path": "/data/rule", "value": "x\u003cy"}'
patch '{"op": "add", "path": "/data/new", "value": "x<y"}, {"op": "test", "path": "/data/new", "value": "x<y"}'
patch '{"op": "copy", "from": "/data/rule", "path": "/data/copy"}, {"op": "test", "path": "/data/copy", "value": "x<y"}'
[ "$seen" = "200 422 200 200 422 " ]
