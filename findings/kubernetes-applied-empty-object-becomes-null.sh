#!/usr/bin/env bash
# shellcheck disable=SC1091,SC2154 # what kubernetes.lib sets
# Guess: who applied {"limits": {"cpu": "1"}} and applies {"limits": {}} next leaves an empty object there: the one member that was its own goes.
# What a server-side apply ends in does not depend on how the object came to be.
# Seen: the object becomes null before it is checked, so the apply is refused as not of type object, forced or not. The same configuration makes a new
# custom object, and is taken from another manager.
set -euo pipefail
. "$(dirname "$0")/kubernetes.lib"
start_apiserver
schema='{"type": "object", "properties": {"spec": {"type": "object", "properties":
    {"limits": {"type": "object", "additionalProperties": {"type": "string"}}}}}}'
call POST /apis/apiextensions.k8s.io/v1/customresourcedefinitions application/json "{\"apiVersion\": \"apiextensions.k8s.io/v1\",
    \"kind\": \"CustomResourceDefinition\", \"metadata\": {\"name\": \"things.finding.test\"}, \"spec\": {\"group\": \"finding.test\", \"scope\": \"Namespaced\",
    \"names\": {\"plural\": \"things\", \"kind\": \"Thing\"}, \"versions\": [{\"name\": \"v1\", \"served\": true, \"storage\": true,
    \"schema\": {\"openAPIV3Schema\": $schema}}]}}"
things=/apis/finding.test/v1/namespaces/default/things
wait_for $things
apply() { # NAME MANAGER LIMITS [PARAMETER]
    call PATCH "$things/$1?fieldManager=$2${4:-}" application/apply-patch+yaml \
        "{\"apiVersion\": \"finding.test/v1\", \"kind\": \"Thing\", \"metadata\": {\"name\": \"$1\"}, \"spec\": {\"limits\": $3}}"
    echo "$2 applies limits $3 to $1${4:+ ($4)}: $status"
    seen="${seen:-}$status "
}
apply a ann '{"cpu": "1"}'
apply a ann '{}'
reason=$(python3 -c 'import json, sys; print(json.loads(sys.argv[1])["message"])' "$answer")
echo "    $reason"
apply a ann '{}' '&force=true'
apply a bob '{}'
apply b ann '{}'
[ "$seen" = "201 422 422 200 201 " ] && grep -q 'spec.limits in body must be of type object: "null"' <<<"$reason"
