#!/usr/bin/env bash
# The stories, in a terminal, in under two minutes: every command that is shown is run, and can be repeated by the reader.
#   demo.sh [DIR of the programs] [--act N]     1: Services; 2: Ingress; 3: the mesh
# shellcheck disable=SC2317 # what wait_for is told to call
set -euo pipefail
bin=build/bin
acts="1 2 3"
while [ $# -gt 0 ]; do
    case $1 in
    --act)
        acts=${2:-}
        [[ $acts =~ ^[123]$ ]] || { echo "error: --act takes 1, 2 or 3" >&2; exit 64; }
        shift ;;
    *) bin=$1 ;;
    esac
    shift
done
bin=$(cd "$bin" && pwd)
here=$(cd "$(dirname "$0")/.." && pwd)
lab=${FAIRLEAD_DEMO_LAB:-demo}
PATH=$bin:$PATH
if [ "$(id -u)" -ne 0 ]; then
    echo "error: the demo needs root: it makes network namespaces" >&2
    echo "hint: sudo make demo" >&2
    exit 1
fi
began=$(date +%s)
bold() { if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then printf '\n\033[1m%s\033[0m\n' "$*"; else printf '\n%s\n' "$*"; fi; }
run() { printf '$ %s\n' "$*"; "$@"; }
kubectl=kubectl
command -v kubectl >/dev/null 2>&1 || kubectl=fairlead   # the same verbs, for machines without it
in_pod() { printf '$ fairlead exec %s -- %s\n' "$1" "${*:2}"; fairlead exec "$1" -- "${@:2}"; }
fail() { echo "demo: $*" >&2; exit 1; }

wait_for() { for _ in $(seq 200); do "$@" >/dev/null 2>&1 && return 0; sleep 0.05; done; fail "timed out: $*"; }
ready() { [ "$(fairlead get pods -l "$1" -o 'jsonpath={.items[*].status.conditions[*].status}' | tr ' ' '\n' | grep -c True)" -ge 4 ]; }
python_ip() { fairlead get pods -l app=python -o 'jsonpath={.items[*].status.podIP}' | awk '{print $NF}'; }
in_shop() { conditions=$(fairlead get pods -n shop -l "app=$1" -o 'jsonpath={.items[*].status.conditions[*].status}') && [ -n "$conditions" ] && [[ $conditions != *False* ]]; }
from_shop() { fairlead exec -n shop "$shopper" -c ratings -- curl -s -m 2 "$@"; }
asks_whole() { from_shop "$reviews" | grep -q Reviewer1; }
no_red_stars() { for _ in 1 2 3 4 5 6 7 8; do from_shop "$reviews" | grep -q '"red"' && return 1; done; return 0; }
jason_sees_red() { from_shop -H "end-user: jason" "$reviews" | grep -q '"red"'; }
traced() { fairlead trace "$trace" | grep -q ratings; }
refused() { ! fairlead lab exec --name "$lab" node-1 -- curl -s -m 2 -o /dev/null "http://$1:9080/productpage"; }
pods_of_first_light() {
    run $kubectl apply -f "$here/examples/first-light"
    wait_for ready app=nginx
    wait_for ready app=python
}

act_1() {
    bold "1.1 A pod nginx, a Deployment service-python, and a Service before it"
    pods_of_first_light
    run $kubectl get pods,svc -o wide 2>/dev/null || { run $kubectl get pods -o wide; run $kubectl get svc; }
    ip=$(fairlead get svc/service-python -o 'jsonpath={.spec.clusterIP}')
    first=$(python_ip)

    bold "1.2 From inside the pod nginx: by name and by ClusterIP"
    wait_for fairlead exec nginx -- curl -sf -m 2 http://service-python/name
    in_pod nginx curl -s http://service-python/name
    in_pod nginx curl -s "http://$ip/name"

    bold "1.3 The python pod is destroyed while a loop of requests runs, and comes back with another address"
    loop=$(mktemp)
    # shellcheck disable=SC2016
    fairlead exec nginx -- sh -c 'ok=0; lost=0; end=$(($(date +%s) + 6)); while [ $(date +%s) -lt $end ]; do
        if curl -sf -m 2 -o /dev/null http://'"$ip"'/name; then ok=$((ok + 1)); else lost=$((lost + 1)); fi; done; echo "$ok answered, $lost lost"' >"$loop" &
    loop_pid=$!
    sleep 1
    run $kubectl delete pod "$(fairlead get pods -l app=python -o 'jsonpath={.items[0].metadata.name}')"
    wait_for ready app=python
    second=$(python_ip)
    echo "python was at $first and is at $second now; the Service is still $ip"
    wait "$loop_pid"
    printf 'the loop that was running: '
    cat "$loop"
    grep -q ' 0 lost' "$loop" || fail "requests were lost"
    rm -f "$loop"
    [ "$first" != "$second" ] || fail "the pod has the same address as before"
    echo "(Promised: a pod that is deleted loses no request, if it goes on serving for a moment after SIGTERM, as --drain does here."
    echo " A pod that crashes costs the requests it held, and those that arrive until its readiness probe fails.)"

    bold "1.4 Type NodePort: port 30080 answers on every node, inside and outside, on both addresses"
    run $kubectl apply -f "$here/examples/first-light/more/nodeport.yaml"
    run $kubectl get svc service-python
    for node in node-1 node-2; do
        for type in InternalIP ExternalIP; do
            address=$(fairlead get "node/$node" -o "jsonpath={.status.addresses[*]}" | grep -o "{[^}]*\"$type\"[^}]*}" | grep -o '[0-9]*\.[0-9]*\.[0-9]*\.[0-9]*' | head -1)
            wait_for curl -sf -m 2 "http://$address:30080/name"
            printf '$ curl http://%s:30080/name            # %s of %s, from outside: ' "$address" "$type" "$node"
            curl -sf -m 2 "http://$address:30080/name"
            printf '$ fairlead lab exec --name %s %s -- curl http://%s:30080/name   # inside: ' "$lab" "$node" "$address"
            fairlead lab exec --name "$lab" "$node" -- curl -sf -m 2 "http://$address:30080/name"
        done
    done

    bold "1.5 Type LoadBalancer, and an ExternalIP"
    subnet=$(fairlead get node/node-1 -o 'jsonpath={.status.addresses[0].address}' | cut -d. -f1-3)
    external=$subnet.199
    sed "s/EXTERNAL_IP/$external/" "$here/examples/first-light/more/loadbalancer.yaml" >"${KUBECONFIG%/*}/loadbalancer.yaml"
    run $kubectl apply -f "${KUBECONFIG%/*}/loadbalancer.yaml"
    lb() { fairlead get svc/service-python -o 'jsonpath={.status.loadBalancer.ingress[0].ip}'; }
    has_lb() { [ -n "$(lb)" ]; }
    wait_for has_lb
    run $kubectl get svc service-python
    for address in "$(lb)" "$external"; do
        wait_for curl -sf -m 2 "http://$address/name"
        printf '$ curl http://%s/name: ' "$address"
        curl -sf -m 2 "http://$address/name"
    done

}

act_2() {
    fairlead get pod/nginx >/dev/null 2>&1 || pods_of_first_light
    bold "2. Ingress: paths to Services, by a manifest of 2022 (networking.k8s.io/v1beta1, class nginx), as it is"
    run $kubectl apply -f "$here/examples/ingress/origin"
    gateway() { fairlead get svc/fairlead-gateway -n fairlead-system -o 'jsonpath={.status.loadBalancer.ingress[0].ip}'; }
    has_gateway() { [ -n "$(gateway)" ]; }
    wait_for has_gateway
    gw=$(gateway)
    has_address() { [ "$(fairlead get ingress/test-ingress -o 'jsonpath={.status.loadBalancer.ingress[0].ip}')" = "$gw" ]; }
    wait_for has_address
    run $kubectl get ingress test-ingress
    for path in /folder /other; do
        wait_for curl -sf -m 2 "http://$gw$path"
        printf '$ curl http://%s%s: ' "$gw" "$path"
        curl -sf -m 2 "http://$gw$path" | grep '"name"'
    done
    printf '$ curl -o /dev/null -w %%{http_code} http://%s/else: ' "$gw"
    curl -s -m 2 -o /dev/null -w '%{http_code}\n' "http://$gw/else"
    run fairlead explain GET http://any.example/other
    echo "The pods behind /other are replaced while a loop of requests runs:"
    loop=$(mktemp)
    ( ok=0; lost=0; end=$(($(date +%s) + 6)); while [ "$(date +%s)" -lt $end ]; do
        if curl -sf -m 2 -o /dev/null "http://$gw/other"; then ok=$((ok + 1)); else lost=$((lost + 1)); fi; done; echo "$ok answered, $lost lost" >"$loop" ) &
    loop_pid=$!
    before=$(python_ip)
    run $kubectl rollout restart deployment service-python 2>/dev/null || fairlead delete pod "$(fairlead get pods -l app=python -o 'jsonpath={.items[0].metadata.name}')"
    wait "$loop_pid"
    wait_for ready app=python
    echo "python was at $before and is at $(python_ip) now"
    printf 'the loop that was running: '
    cat "$loop"
    grep -q ' 0 lost' "$loop" || fail "requests were lost"
    rm -f "$loop"

}

act_3() {
    bold "3.1 A shop that knows of no mesh, in a namespace that asks for proxies: each pod gets one beside it"
    run $kubectl create namespace shop
    run $kubectl label namespace shop istio-injection=enabled
    run $kubectl apply -n shop -f "$here/examples/mesh/bookinfo/bookinfo.yaml"
    for app in productpage details ratings reviews; do wait_for in_shop "$app"; done
    run $kubectl get pods -n shop
    shopper=$(fairlead get pods -n shop -l app=ratings -o 'jsonpath={.items[0].metadata.name}')
    reviews=http://productpage:9080/api/v1/products/0/reviews
    wait_for asks_whole

    bold "3.2 Canary by percentage: a tenth of the readers see stars"
    run $kubectl apply -n shop -f "$here/examples/mesh/bookinfo/reviews-90-10.yaml"
    wait_for no_red_stars
    # shellcheck disable=SC2016
    printf '$ for i in $(seq 100); do curl %s; done\n' "$reviews"
    # shellcheck disable=SC2016
    fairlead exec -n shop "$shopper" -c ratings -- sh -c 'for i in $(seq 100); do curl -s '"$reviews"' | grep -c black; done; true' | sort | uniq -c | sed 's/ 0$/ without stars (v1)/; s/ [1-9]$/ with stars (v2)/'

    bold "3.3 Canary by header: jason sees red ones"
    run $kubectl apply -n shop -f "$here/examples/mesh/bookinfo/reviews-jason.yaml"
    wait_for jason_sees_red
    for user in jason anybody; do
        printf '$ curl -H "end-user: %s" ...: ' "$user"
        fairlead exec -n shop "$shopper" -c ratings -- curl -s -H "end-user: $user" "$reviews" | grep -q '"red"' && echo "red stars (v3)" || echo "no stars (v1)"
    done

    bold "3.4 Between pods it is mutual TLS: on the wire of productpage's pod a secret word is looked for"
    page=$(fairlead get pods -n shop -l app=productpage -o 'jsonpath={.items[0].metadata.name}')
    "$here/scripts/look-for.py" "$lab" shop "$page" open-sesame -- fairlead exec -n shop "$shopper" -c ratings -- curl -s -o /dev/null -H "x-word: open-sesame" http://productpage:9080/productpage
    run $kubectl apply -n shop -f "$here/examples/mesh/bookinfo/strict.yaml"
    echo "and who has no proxy is not answered any more:"
    plain() { printf '$ curl http://%s:9080/productpage   # from a node: ' "$1"; fairlead lab exec --name "$lab" node-1 -- curl -s -m 2 -o /dev/null -w '%{http_code}\n' "http://$1:9080/productpage" || true; }
    page_ip=$(fairlead get "pod/$page" -n shop -o 'jsonpath={.status.podIP}')
    wait_for refused "$page_ip"
    plain "$page_ip"

    bold "3.5 One request, through all of them: its caller asks for a trace"
    trace=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
    printf '$ curl -H "traceparent: 00-%s-00f067aa0ba902b7-01" http://productpage:9080/productpage\n' "$trace"
    from_shop -o /dev/null -H "end-user: jason" -H "traceparent: 00-$trace-00f067aa0ba902b7-01" http://productpage:9080/productpage
    wait_for traced
    run fairlead trace "$trace"

    bold "3.6 Who called whom, by what the proxies have told: no other program is needed"
    run fairlead graph -n shop
}

bold "A cluster of two nodes, on this machine, touching nothing of it but one veth pair"
fairlead lab down --name "$lab" --quiet
run fairlead lab up --name "$lab" --mesh
KUBECONFIG=$(fairlead lab kubeconfig --name "$lab" --path)
export KUBECONFIG
run $kubectl get nodes -o wide

for act in $acts; do "act_$act"; done

bold "Done in $(($(date +%s) - began)) s. The lab stays up."
cat <<TXT
  export KUBECONFIG=$KUBECONFIG
  kubectl get svc
  fairlead lab exec --name $lab node-1 -- nft list table ip fairlead
  fairlead lab down --name $lab
(the programs are in $bin)
TXT
