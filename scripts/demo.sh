#!/usr/bin/env bash
# The first story, in a terminal, in under a minute: every command that is shown is run, and can be repeated by the reader.
set -euo pipefail
bin=${1:-build/bin}
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

bold "1. A cluster of two nodes, on this machine, touching nothing of it but one veth pair"
fairlead lab down --name "$lab" --quiet
run fairlead lab up --name "$lab" --ingress
KUBECONFIG=$(fairlead lab kubeconfig --name "$lab" --path)
export KUBECONFIG
run $kubectl get nodes -o wide

bold "2. A pod nginx, a Deployment service-python, and a Service before it"
run $kubectl apply -f "$here/examples/first-light"
wait_for() { for _ in $(seq 200); do "$@" >/dev/null 2>&1 && return 0; sleep 0.05; done; fail "timed out: $*"; }
ready() { [ "$(fairlead get pods -l "$1" -o 'jsonpath={.items[*].status.conditions[*].status}' | tr ' ' '\n' | grep -c True)" -ge 4 ]; }
wait_for ready app=nginx
wait_for ready app=python
run $kubectl get pods,svc -o wide 2>/dev/null || { run $kubectl get pods -o wide; run $kubectl get svc; }
ip=$(fairlead get svc/service-python -o 'jsonpath={.spec.clusterIP}')
python_ip() { fairlead get pods -l app=python -o 'jsonpath={.items[*].status.podIP}' | awk '{print $NF}'; }
first=$(python_ip)

bold "3. From inside the pod nginx: by name and by ClusterIP"
wait_for fairlead exec nginx -- curl -sf -m 2 http://service-python/name
in_pod nginx curl -s http://service-python/name
in_pod nginx curl -s "http://$ip/name"

bold "4. The python pod is destroyed while a loop of requests runs, and comes back with another address"
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

bold "5. Type NodePort: port 30080 answers on every node, inside and outside, on both addresses"
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

bold "6. Type LoadBalancer, and an ExternalIP"
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

bold "7. Ingress: paths to Services, by a manifest of 2022 (networking.k8s.io/v1beta1, class nginx), as it is"
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

bold "Done in $(($(date +%s) - began)) s. The lab stays up."
cat <<TXT
  export KUBECONFIG=$KUBECONFIG
  kubectl get svc
  fairlead lab exec --name $lab node-1 -- nft list table ip fairlead
  fairlead lab down --name $lab
(the programs are in $bin)
TXT
