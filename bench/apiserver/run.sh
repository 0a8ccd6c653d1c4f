#!/usr/bin/env bash
# The API server: list of 10,000 objects, an idle watcher's memory, 100 watchers at 1,000 changes a second (CPU and memory of the
# server, encodes counted). On loopback, in memory and with its file; bounded in count and time.
set -euo pipefail
cd "$(dirname "$0")/../.."
build=${FAIRLEAD_BUILD:-build}
work=$(mktemp -d)
trap 'kill "$pid" 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$work"' EXIT
cd "$work"
bin=$OLDPWD/$build
key() { openssl ecparam -name prime256v1 -genkey -noout -out "$1.key" 2>/dev/null; }
key ca && openssl req -x509 -new -key ca.key -days 2 -subj /CN=ca -out ca.crt 2>/dev/null
for n in server admin; do
    key $n
    openssl req -new -key $n.key -subj "/O=system:masters/CN=$n" -out $n.csr 2>/dev/null
    openssl x509 -req -in $n.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -out $n.crt -extfile <(printf 'subjectAltName=IP:127.0.0.1') 2>/dev/null
done
port=$((20000 + RANDOM % 20000))
cat >kubeconfig <<YAML
apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "https://127.0.0.1:$port", certificate-authority: $work/ca.crt}}]
users: [{name: u, user: {client-certificate: $work/admin.crt, client-key: $work/admin.key}}]
contexts: [{name: x, context: {cluster: c, user: u}}]
current-context: x
YAML
"$bin/bin/fairlead-labd" apiserver --port $port --data-dir "$work" --tls-cert-file server.crt --tls-private-key-file server.key \
    --client-ca-file ca.crt --kubelet-client-certificate admin.crt --kubelet-client-key admin.key --log-level warn &
pid=$!
for _ in $(seq 100); do [ "$(curl -sk -o /dev/null -w '%{http_code}' "https://127.0.0.1:$port/readyz")" = 200 ] && break; sleep 0.05; done
rss() { awk '/VmRSS/{print $2}' /proc/$pid/status; }
cpu_ms() { awk '{print ($14 + $15) * 10}' /proc/$pid/stat; }
encodes() { curl -s --cacert ca.crt --cert admin.crt --key admin.key "https://127.0.0.1:$port/metrics" | awk '/watch_encodes_total{view="json"}/{print $2}'; }
load() { "$bin/bench/bench_apiserver_load" --kubeconfig kubeconfig "$@"; }
load --phase make >make.txt
. ./make.txt
objects_rss=$(rss)
load --phase watch --watchers 500 --seconds 3 >watch.txt &
watch_pid=$!
sleep 2.5
watch_rss=$(rss)
wait $watch_pid
before=$(cpu_ms) encodes_before=$(encodes)
load --phase change --watchers 100 --rate 1000 --seconds 10 --objects 10000 >change.txt
. ./change.txt
cpu=$(($(cpu_ms) - before)) encodes_after=$(encodes)
row() { printf '%-58s %12s   %s\n' "$1" "$2" "$3"; }
row "what" "measured" "budget"
row "creates with the file store, per second" "$creates_per_s" "-"
row "list of 10,000 objects ($((list_bytes / 1024)) KiB), ms, median of 5" "$list_ms" "200"
row "the same as a table, ms" "$table_ms" "-"
row "server RSS with 10,000 objects, KiB" "$objects_rss" "-"
row "an idle watcher (TLS), KiB resident, mean of 500" "$(((watch_rss - objects_rss) / 500))" "64"
row "100 watchers, 1,000 changes/s: changes per second" "$changes_per_s" "1000"
row "events delivered of $events_expected" "$events" "all"
row "server CPU during it, % of one core" "$(awk "BEGIN{printf \"%.0f\", $cpu / ($seconds * 10)}")" "-"
row "server RSS after it, KiB" "$(rss)" "-"
row "encodes per change (does not grow with watchers)" "$(awk "BEGIN{printf \"%.2f\", ($encodes_after - $encodes_before) / $changes}")" "1"
