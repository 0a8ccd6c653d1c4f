#!/usr/bin/env bash
# shellcheck disable=SC1091,SC2154 # what kubernetes.lib sets
# Guess: a webhook's clientConfig.service without a name is refused with a word of service.name, one without a namespace with a word of service.namespace: an
# API server's field paths are what tools show to people beside the line to mend.
# Seen: each is refused in the name of the other field, under "service.name" what lacks a namespace and the other way round.
set -euo pipefail
. "$(dirname "$0")/kubernetes.lib"
start_apiserver
hooks=/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations
refused() { # SERVICE: the field that the refusal names
    call POST $hooks application/json "{\"apiVersion\": \"admissionregistration.k8s.io/v1\", \"kind\": \"ValidatingWebhookConfiguration\", \"metadata\": {\"name\": \"finding\"},
        \"webhooks\": [{\"name\": \"a.finding.test\", \"sideEffects\": \"None\", \"admissionReviewVersions\": [\"v1\"], \"clientConfig\": {\"service\": $1}}]}"
    python3 -c 'import json, sys; print(json.loads(sys.argv[1])["details"]["causes"][0]["field"].rpartition(".")[2])' "$answer"
}
no_name=$(refused '{"namespace": "default"}')
echo "a service without a name: refused for its $no_name"
no_namespace=$(refused '{"name": "web"}')
echo "a service without a namespace: refused for its $no_namespace"
[ "$no_name $no_namespace" = "namespace name" ]
