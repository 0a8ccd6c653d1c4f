#!/usr/bin/env python3
"""Grafana dashboards of the chart, from the tables below: deploy/chart/files/dashboards. --check: whether they are as the tables have them (make lint)."""
import json
import pathlib
import sys

FOLDER = pathlib.Path(__file__).resolve().parents[1] / "deploy/chart/files/dashboards"
RATE = "[$__rate_interval]"

# (title, unit, [(what is asked, legend)])
DASHBOARDS = {
    "services": ("Fairlead: Services on nodes", [
        ("Services", "short", [("max(fairlead_agent_services)", "Services"), ("max(fairlead_agent_endpointslices)", "slices")]),
        ("Frontends in the kernel", "short", [("sum by (ip_family) (fairlead_agent_frontends)", "{{ip_family}}")]),
        ("Rules are brought up to date: p99", "s", [(f"histogram_quantile(0.99, sum by (le, ip_family) (rate(kubeproxy_sync_proxy_rules_duration_seconds_bucket{RATE})))", "{{ip_family}}")]),
        ("Changes that wait", "short", [("sum(kubeproxy_sync_proxy_rules_service_changes_pending)", "Services"), ("sum(kubeproxy_sync_proxy_rules_endpoint_changes_pending)", "endpoints")]),
        ("Transactions", "ops", [(f"sum by (pod) (rate(fairlead_agent_transactions_total{RATE}))", "{{pod}}")]),
        ("Repairs, failures, odd things", "short", [("sum(increase(fairlead_agent_repairs_total[5m]))", "repairs"), ("sum(increase(kubeproxy_sync_proxy_rules_nftables_sync_failures_total[5m]))", "refused by the kernel"), ("sum(increase(fairlead_agent_odd_total[5m]))", "odd")]),
        ("Services without an endpoint here", "short", [("sum by (traffic_policy) (kubeproxy_sync_proxy_rules_no_local_endpoints_total)", "{{traffic_policy}}")]),
        ("Memory of agents", "bytes", [('max by (pod) (container_memory_working_set_bytes{container="agent"})', "{{pod}}")]),
    ]),
    "control": ("Fairlead: control plane", [
        ("In step with the API server", "short", [("min by (pod) (fairlead_control_synced)", "{{pod}}")]),
        ("Proxies", "short", [("sum by (pod) (fairlead_control_xds_streams)", "{{pod}}")]),
        ("Hosts, Services", "short", [("max(fairlead_control_hosts)", "hosts"), ("max(fairlead_control_services)", "Services")]),
        ("Pushes", "ops", [(f"sum(rate(fairlead_control_pushes_total{RATE}))", "pushes"), (f"sum(rate(fairlead_control_xds_responses_total{RATE}))", "responses")]),
        ("Refused by proxies", "short", [("sum(increase(fairlead_control_xds_nacks_total[5m]))", "refused"), ("sum(increase(fairlead_control_xds_unknown_callers_total[5m]))", "unknown callers")]),
        ("Certificates", "short", [("sum(increase(fairlead_control_certificates_issued_total[5m]))", "issued"), ("sum by (reason) (increase(fairlead_control_certificates_refused_total[5m]))", "refused: {{reason}}")]),
        ("Watches that failed", "short", [("sum by (pod) (increase(fairlead_control_watch_failures_total[5m]))", "{{pod}}")]),
        ("Memory", "bytes", [('max by (pod) (container_memory_working_set_bytes{container="control"})', "{{pod}}")]),
    ]),
    "mesh": ("Fairlead: mesh", [
        ("Requests", "reqps", [(f'sum by (destination_service) (rate(istio_requests_total{{reporter="destination"}}{RATE}))', "{{destination_service}}")]),
        ("Answers other than 5xx", "percentunit", [(f'sum by (destination_service) (rate(istio_requests_total{{reporter="destination",response_code!~"5.."}}{RATE})) / sum by (destination_service) (rate(istio_requests_total{{reporter="destination"}}{RATE}))', "{{destination_service}}")]),
        ("Time to answer: p99", "ms", [(f'histogram_quantile(0.99, sum by (le, destination_service) (rate(istio_request_duration_milliseconds_bucket{{reporter="destination"}}{RATE})))', "{{destination_service}}")]),
        ("Without mutual TLS", "reqps", [(f'sum by (source_workload, destination_service) (rate(istio_requests_total{{reporter="destination",connection_security_policy!="mutual_tls"}}{RATE}))', "{{source_workload}} to {{destination_service}}")]),
        ("Bytes by TCP", "Bps", [(f'sum by (destination_service) (rate(istio_tcp_received_bytes_total{{reporter="destination"}}{RATE}))', "{{destination_service}}")]),
        ("Connections", "short", [(f'sum by (destination_service) (rate(istio_tcp_connections_opened_total{{reporter="destination"}}{RATE}))', "{{destination_service}}")]),
        ("Certificates that could not be had", "short", [("sum by (pod) (increase(envoy_identity_failed[5m]))", "{{pod}}")]),
        ("Memory of sidecars", "bytes", [('max by (namespace, pod) (container_memory_working_set_bytes{container="istio-proxy"})', "{{namespace}}/{{pod}}")]),
    ]),
}


def dashboard(name):
    title, panels = DASHBOARDS[name]
    source = {"type": "prometheus", "uid": "${datasource}"}
    return {
        "uid": f"fairlead-{name}", "title": title, "tags": ["fairlead"], "schemaVersion": 39, "refresh": "30s", "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": [{"name": "datasource", "type": "datasource", "query": "prometheus"}]},
        "panels": [{"id": i + 1, "type": "timeseries", "title": panel, "datasource": source, "gridPos": {"x": i % 2 * 12, "y": i // 2 * 8, "w": 12, "h": 8},
                    "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
                    "targets": [{"refId": chr(ord("A") + k), "datasource": source, "expr": expr, "legendFormat": legend} for k, (expr, legend) in enumerate(asked)]}
                   for i, (panel, unit, asked) in enumerate(panels)],
    }


def main():
    wrong = []
    for name in DASHBOARDS:
        path, text = FOLDER / f"{name}.json", json.dumps(dashboard(name), indent=1) + "\n"
        if sys.argv[1:] == ["--check"]:
            if not path.exists() or path.read_text() != text:
                wrong.append(path.name)
        else:
            path.write_text(text)
    if wrong:
        sys.exit(f"dashboards: {', '.join(wrong)}: not as tools/dashboards.py has them; run it")


if __name__ == "__main__":
    main()
