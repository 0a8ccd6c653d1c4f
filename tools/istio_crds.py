#!/usr/bin/env python3
"""Writes deploy/crds: a CustomResourceDefinition for each kind of Istio's API, from the one description below.

No argument: write the files. --check: exit 1, naming the file, if deploy/crds is not what would be written.

Groups, names, versions and fields are Istio's (reference: istio.io/api, release 1.31), so that either set can take the other's place. The rule for each range and
pattern: what Istio admits (its own definitions and its webhook together) is admitted here, but for numbers that mean nothing (port 70000 of a match); what needs more
than the one value, or a name looked up, is left to a webhook.

A schema is written as a dict. obj() takes the fields of an object: a "!" behind a name makes it required; one= has groups of fields of which at most one may be set.
"""
import os
import sys

import yaml

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
OUT = os.path.join(ROOT, "deploy", "crds")


def at_most_one(names):
    """How Istio's definitions say it: none of them, or exactly one."""
    each = [{"required": [n]} for n in names]
    return [{"not": {"anyOf": each}}, *each]


def obj(fields, one=(), **more):
    schema = {"type": "object", **more}
    required = [n[:-1] for n in fields if n.endswith("!")]
    if required:
        schema["required"] = required
    if len(one) == 1:
        schema["oneOf"] = at_most_one(one[0])
    elif one:
        schema["allOf"] = [{"oneOf": at_most_one(names)} for names in one]
    schema["properties"] = {n.rstrip("!"): s for n, s in fields.items()}
    return schema


def string(pattern=None, low=None, high=None):
    found = {"type": "string", "minLength": low, "maxLength": high, "pattern": pattern}
    return {k: v for k, v in found.items() if v is not None}


def enum(*values):
    return {"type": "string", "enum": list(values)}


def whole(low, high, **more):
    return {"type": "integer", "minimum": low, "maximum": high, **more}


def items(schema, low=None, high=None):
    found = {"type": "array", "minItems": low, "maxItems": high, "items": schema}
    return {k: v for k, v in found.items() if v is not None}


def table(schema, **more):
    return {"type": "object", **more, "additionalProperties": schema}


def nullable(schema):
    return {**schema, "nullable": True}


STRING, BOOL, FREE = {"type": "string"}, {"type": "boolean"}, {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
NAME, STRINGS, NAMES = string(low=1), items(STRING), items(string(low=1))
MAYBE, LABELS = nullable(BOOL), table(STRING)
ANY_INT = {"type": "integer", "format": "int32"}
INT, UINT = whole(0, 2**31 - 1, format="int32"), whole(0, 2**32 - 1, format="int64")
PORT, ANY_PORT = whole(1, 65535), whole(0, 65535)
NUMBER = {"type": "number", "format": "double", "minimum": 0}
PERCENT, WHOLE_PERCENT = {**NUMBER, "maximum": 100}, whole(0, 100, format="int32")
# As Go writes them: 1h30m, 1.5s, 200ms. SOME_TIME is not nought.
TIME = string(r"^([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|ms|s|m|h)(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|ms|s|m|h))*$")
TIME_OR_ZERO = string("^0$|" + TIME["pattern"])
SOME_TIME = {**TIME, "allOf": [{"pattern": "[1-9]"}]}
HEADER = string("^[-_A-Za-z0-9]+$")
EXPORT_TO = items(string(r"^([.*~]|[a-z0-9]([-a-z0-9]*[a-z0-9])?)$", high=63))
NO_STAR = string(r"^[^*]*$", high=63)

# Who is meant: type/v1beta1 of Istio's API.
SELECTOR = obj({"matchLabels": table(NO_STAR, maxProperties=4096)})
WORKLOADS = obj({"labels": table(NO_STAR, maxProperties=256)})
TARGET = obj({
    "group": string(r"^$|^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$", high=253),
    "kind!": string("^[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?$", 1, 63), "name!": string(low=1, high=253), "namespace": string(high=0)})
TARGETS = {"selector": SELECTOR, "targetRef": TARGET, "targetRefs": items(TARGET, high=16)}
ONE_TARGET = ("selector", "targetRef", "targetRefs")

# VirtualService
MATCH_STRING = obj({"exact": STRING, "prefix": STRING, "regex": STRING}, one=[("exact", "prefix", "regex")])
DESTINATION = obj({"host!": NAME, "subset": STRING, "port": obj({"number": PORT})})
HEADER_CHANGE = obj({"set": LABELS, "add": LABELS, "remove": STRINGS})
HEADERS = obj({"request": HEADER_CHANGE, "response": HEADER_CHANGE})
SHARE = obj({"value": PERCENT})
WHENCE = {"port": PORT, "sourceLabels": LABELS, "gateways": STRINGS, "sourceNamespace": STRING}
L4_ROUTES = items(obj({"destination!": DESTINATION, "weight": INT}))
HTTP_MATCH = obj({
    "name": STRING, "uri": MATCH_STRING, "scheme": MATCH_STRING, "method": MATCH_STRING, "authority": MATCH_STRING, "headers": table(MATCH_STRING),
    "withoutHeaders": table(MATCH_STRING), "queryParams": table(MATCH_STRING), "ignoreUriCase": BOOL, "statPrefix": STRING, **WHENCE})
HTTP_ROUTE = obj({
    "name": STRING, "match": items(HTTP_MATCH), "route": items(obj({"destination!": DESTINATION, "weight": INT, "headers": HEADERS})),
    "redirect": obj({
        "uri": STRING, "prefixRewrite": STRING, "authority": STRING, "port": PORT, "derivePort": enum("FROM_PROTOCOL_DEFAULT", "FROM_REQUEST_PORT"), "scheme": STRING,
        "redirectCode": whole(0, 399, anyOf=[{"maximum": 0}, {"minimum": 300}])}, one=[("port", "derivePort")]),
    "directResponse": obj({
        "status!": whole(200, 600), "body": obj({"string": STRING, "bytes": {"type": "string", "format": "byte"}}, one=[("string", "bytes")])}),
    "delegate": obj({"name": STRING, "namespace": STRING}),
    "rewrite": obj({"uri": STRING, "authority": STRING, "uriRegexRewrite": obj({"match": STRING, "rewrite": STRING})}),
    "timeout": SOME_TIME,
    "retries": obj({
        "attempts": INT, "perTryTimeout": SOME_TIME, "retryOn": STRING, "retryRemoteLocalities": MAYBE, "retryIgnorePreviousHosts": MAYBE, "backoff": SOME_TIME}),
    "fault": obj({
        "delay": obj({"percentage": SHARE, "percent": ANY_INT, "fixedDelay": SOME_TIME, "exponentialDelay": SOME_TIME}, one=[("fixedDelay", "exponentialDelay")]),
        "abort": obj({"percentage": SHARE, "httpStatus": whole(200, 600, format="int32"), "grpcStatus": STRING, "http2Error": STRING},
                     one=[("httpStatus", "grpcStatus", "http2Error")])}),
    "mirror": DESTINATION, "mirrorPercentage": SHARE, "mirrorPercent": nullable(whole(0, 100)), "mirror_percent": nullable(whole(0, 100)),
    "mirrors": items(obj({"destination!": DESTINATION, "percentage": SHARE})),
    "corsPolicy": obj({
        "allowOrigins": items(MATCH_STRING), "allowOrigin": STRINGS, "allowMethods": STRINGS, "allowHeaders": STRINGS, "exposeHeaders": STRINGS, "maxAge": SOME_TIME,
        "allowCredentials": MAYBE, "unmatchedPreflights": enum("UNSPECIFIED", "FORWARD", "IGNORE")}),
    "headers": HEADERS})
VIRTUAL_SERVICE = obj({
    "hosts": STRINGS, "gateways": STRINGS, "exportTo": EXPORT_TO, "http": items(HTTP_ROUTE),
    "tls": items(obj({"match!": items(obj({"sniHosts!": items(NAME, low=1), "destinationSubnets": STRINGS, **WHENCE}), low=1), "route": L4_ROUTES})),
    "tcp": items(obj({"match": items(obj({"destinationSubnets": STRINGS, "sourceSubnet": STRING, **WHENCE})), "route": L4_ROUTES}))})

# DestinationRule
FAILOVER = {"failover": items(obj({"from": STRING, "to": STRING})), "failoverPriority": STRINGS, "enabled": MAYBE}
CONSISTENT_HASH = obj({
    "httpHeaderName": STRING, "httpCookie": obj({"name!": STRING, "path": STRING, "ttl": TIME_OR_ZERO, "attributes": items(obj({"name!": NAME, "value": STRING}))}),
    "useSourceIp": BOOL, "httpQueryParameterName": STRING, "ringHash": obj({"minimumRingSize": {"type": "integer", "minimum": 0}}),
    "maglev": obj({"tableSize": whole(1, 5000010)}), "minimumRingSize": {"type": "integer", "minimum": 0}},
    one=[("httpHeaderName", "httpCookie", "useSourceIp", "httpQueryParameterName"), ("ringHash", "maglev")])
LOAD_BALANCER = obj({
    "simple": enum("UNSPECIFIED", "LEAST_CONN", "RANDOM", "PASSTHROUGH", "ROUND_ROBIN", "LEAST_REQUEST"), "consistentHash": CONSISTENT_HASH,
    "localityLbSetting": obj({"distribute": items(obj({"from": STRING, "to": table(whole(1, 100))})), **FAILOVER}),
    "zoneAwareLbSetting": obj({**FAILOVER, "minClusterSize": nullable(whole(1, 2**32 - 1))}),
    "warmup": obj({"duration!": SOME_TIME, "minimumPercent": nullable(PERCENT), "aggression": nullable(NUMBER)}), "warmupDurationSecs": SOME_TIME},
    one=[("simple", "consistentHash")])
POOL = obj({
    "tcp": obj({
        "maxConnections": INT, "connectTimeout": SOME_TIME, "tcpKeepalive": obj({"probes": UINT, "time": SOME_TIME, "interval": SOME_TIME}),
        "maxConnectionDuration": SOME_TIME, "idleTimeout": TIME_OR_ZERO}),
    "http": obj({
        "http1MaxPendingRequests": INT, "http2MaxRequests": INT, "maxRequestsPerConnection": INT, "maxRetries": INT, "idleTimeout": SOME_TIME,
        "h2UpgradePolicy": enum("DEFAULT", "DO_NOT_UPGRADE", "UPGRADE"), "useClientProtocol": BOOL, "maxConcurrentStreams": INT,
        "http2KeepAlive": obj({"interval": SOME_TIME, "timeout": SOME_TIME})})})
OUTLIERS = obj({
    "consecutive5xxErrors": nullable(UINT), "consecutiveGatewayErrors": nullable(UINT), "consecutiveErrors": ANY_INT, "consecutiveLocalOriginFailures": nullable(UINT),
    "splitExternalLocalOriginErrors": BOOL, "interval": SOME_TIME, "baseEjectionTime": SOME_TIME, "maxEjectionPercent": WHOLE_PERCENT, "minHealthPercent": WHOLE_PERCENT,
    "outlierDetectionHttpErrorCodes": items(whole(100, 599))})
CLIENT_TLS = obj({
    "mode": enum("DISABLE", "SIMPLE", "MUTUAL", "ISTIO_MUTUAL"), "clientCertificate": STRING, "privateKey": STRING, "caCertificates": STRING, "credentialName": STRING,
    "subjectAltNames": STRINGS, "sni": STRING, "insecureSkipVerify": MAYBE, "caCrl": STRING})
PORT_POLICY = {"loadBalancer": LOAD_BALANCER, "connectionPool": POOL, "outlierDetection": OUTLIERS, "tls": CLIENT_TLS}
TRAFFIC_POLICY = obj({
    **PORT_POLICY, "portLevelSettings": items(obj({"port": obj({"number": PORT}), **PORT_POLICY}), high=4096),
    "tunnel": obj({"protocol": STRING, "targetHost!": NAME, "targetPort!": PORT}), "proxyProtocol": obj({"version": enum("V1", "V2")}),
    "retryBudget": obj({"percent": nullable(PERCENT), "minRetryConcurrency": UINT, "budgetInterval": TIME_OR_ZERO})})
DESTINATION_RULE = obj({
    "host!": NAME, "trafficPolicy": TRAFFIC_POLICY, "subsets": items(obj({"name!": NAME, "labels": LABELS, "trafficPolicy": TRAFFIC_POLICY})), "exportTo": EXPORT_TO,
    "workloadSelector": SELECTOR})

# Gateway
TLS_VERSION = enum("TLS_AUTO", "TLSV1_0", "TLSV1_1", "TLSV1_2", "TLSV1_3")
FILE_CERTS = {"serverCertificate": STRING, "privateKey": STRING, "caCertificates": STRING}
SERVER_TLS = obj({
    "httpsRedirect": BOOL, "mode": enum("PASSTHROUGH", "SIMPLE", "MUTUAL", "AUTO_PASSTHROUGH", "ISTIO_MUTUAL", "OPTIONAL_MUTUAL"), **FILE_CERTS, "caCrl": STRING,
    "credentialName": STRING, "credentialNames": items(NAME, 1, 2), "caCertCredentialName": STRING, "tlsCertificates": items(obj(FILE_CERTS), 1, 2),
    "subjectAltNames": STRINGS, "verifyCertificateSpki": STRINGS, "verifyCertificateHash": STRINGS, "insecureSkipVerify": MAYBE,
    "minProtocolVersion": TLS_VERSION, "maxProtocolVersion": TLS_VERSION, "cipherSuites": STRINGS}, one=[("credentialName", "credentialNames"), ("credentialNames", "tlsCertificates")])
GATEWAY = obj({
    "selector": LABELS,
    "servers": items(obj({
        "port!": obj({"number!": PORT, "protocol!": NAME, "name!": NAME, "targetPort": ANY_PORT}), "hosts!": items(NAME, low=1), "bind": STRING, "name": STRING,
        "defaultEndpoint": STRING, "tls": SERVER_TLS}))})

# ServiceEntry, WorkloadEntry, WorkloadGroup, Sidecar, ProxyConfig
WORKLOAD = {
    "address": string(high=256), "ports": table(PORT, maxProperties=128),
    "labels": table(STRING, maxProperties=256), "network": string(high=2048), "locality": string(high=2048), "weight": UINT, "serviceAccount": string(high=253)}
SERVICE_ENTRY = obj({
    "hosts!": items(string("^([^*]|..)", low=1), 1, 256), "addresses": items(string(high=64), high=256),
    "ports": {**items(obj({"number!": PORT, "protocol": string(high=256), "name!": string(low=1, high=256), "targetPort": PORT}), high=256),
              "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    "location": enum("MESH_EXTERNAL", "MESH_INTERNAL"), "resolution": enum("NONE", "STATIC", "DNS", "DNS_ROUND_ROBIN", "DYNAMIC_DNS"),
    "endpoints": items(obj(WORKLOAD, anyOf=[{"required": ["address"]}, {"required": ["network"]}]), high=4096), "workloadSelector": WORKLOADS, "exportTo": EXPORT_TO,
    "subjectAltNames": STRINGS}, one=[("endpoints", "workloadSelector")])
WORKLOAD_ENTRY = obj(WORKLOAD, anyOf=[{"required": ["address"]}, {"required": ["network"]}])
WORKLOAD_GROUP = obj({
    "metadata": obj({"labels": table(STRING, maxProperties=256), "annotations": table(STRING, maxProperties=256)}), "template!": obj(WORKLOAD),
    "probe": obj({
        "initialDelaySeconds": INT, "timeoutSeconds": INT, "periodSeconds": INT, "successThreshold": INT, "failureThreshold": INT,
        "httpGet": obj({"path": STRING, "port!": PORT, "host": STRING, "scheme": enum("", "HTTP", "HTTPS"), "httpHeaders": items(obj({"name": HEADER, "value": STRING}))}),
        "tcpSocket": obj({"host": STRING, "port!": PORT}), "exec": obj({"command!": NAMES}), "grpc": obj({"port": PORT, "service": STRING})},
        one=[("httpGet", "tcpSocket", "exec", "grpc")])})
SIDECAR_PORT = obj({"number": PORT, "protocol": STRING, "name": STRING, "targetPort": ANY_PORT})
CAPTURE = enum("DEFAULT", "IPTABLES", "NONE")
SIDECAR = obj({
    "workloadSelector": WORKLOADS,
    "ingress": items(obj({"port!": SIDECAR_PORT, "bind": STRING, "captureMode": CAPTURE, "defaultEndpoint": STRING, "tls": SERVER_TLS, "connectionPool": POOL})),
    "egress": items(obj({"port": SIDECAR_PORT, "bind": STRING, "captureMode": CAPTURE, "hosts!": items(NAME, low=1)})), "inboundConnectionPool": POOL,
    "outboundTrafficPolicy": obj({"mode": enum("REGISTRY_ONLY", "ALLOW_ANY"), "egressProxy": DESTINATION})})
PROXY_CONFIG = obj({
    "selector": SELECTOR, "concurrency": nullable(INT), "environmentVariables": table(string(high=2048)), "image": obj({"imageType": STRING})})

# EnvoyFilter, WasmPlugin
FILTER = obj({"name": STRING, "subFilter": obj({"name": STRING})})
PATCH_MATCH = obj({
    "context": enum("ANY", "SIDECAR_INBOUND", "SIDECAR_OUTBOUND", "GATEWAY", "WAYPOINT"), "proxy": obj({"proxyVersion": STRING, "metadata": LABELS}),
    "listener": obj({
        "portNumber": ANY_PORT, "portName": STRING, "name": STRING, "listenerFilter": STRING,
        "filterChain": obj({"name": STRING, "sni": STRING, "transportProtocol": STRING, "applicationProtocols": STRING, "destinationPort": ANY_PORT, "filter": FILTER})}),
    "routeConfiguration": obj({
        "portNumber": ANY_PORT, "portName": STRING, "gateway": STRING, "name": STRING,
        "vhost": obj({"name": STRING, "domainName": STRING, "route": obj({"name": STRING, "action": enum("ANY", "ROUTE", "REDIRECT", "DIRECT_RESPONSE")})})}),
    "cluster": obj({"portNumber": ANY_PORT, "service": STRING, "subset": STRING, "name": STRING}),
    "waypoint": obj({"portNumber": PORT, "filter": FILTER, "route": obj({"name": STRING})})}, one=[("listener", "routeConfiguration", "cluster", "waypoint")])
ENVOY_FILTER = obj({
    "workloadSelector": WORKLOADS, "targetRefs": items(TARGET, high=16), "priority": ANY_INT,
    "configPatches": items(obj({
        "applyTo": enum("INVALID", "LISTENER", "FILTER_CHAIN", "NETWORK_FILTER", "HTTP_FILTER", "ROUTE_CONFIGURATION", "VIRTUAL_HOST", "HTTP_ROUTE", "CLUSTER",
                        "EXTENSION_CONFIG", "BOOTSTRAP", "LISTENER_FILTER"),
        "match": PATCH_MATCH,
        "patch": obj({
            "operation": enum("INVALID", "MERGE", "ADD", "REMOVE", "INSERT_BEFORE", "INSERT_AFTER", "INSERT_FIRST", "REPLACE", "MERGE_AND_REPLACE_LIST"),
            "filterClass": enum("UNSPECIFIED", "AUTHN", "AUTHZ", "STATS"), "value": FREE})}))}, one=[("workloadSelector", "targetRefs")])
WASM_PLUGIN = obj({
    **TARGETS, "url!": NAME, "sha256": string("^$|^[a-f0-9]{64}$"), "imagePullPolicy": enum("UNSPECIFIED_POLICY", "IfNotPresent", "Always"),
    "imagePullSecret": string(low=1, high=253), "verificationKey": STRING, "pluginConfig": FREE, "pluginName": string(low=1, high=256),
    "phase": enum("UNSPECIFIED_PHASE", "AUTHN", "AUTHZ", "STATS"), "priority": nullable(ANY_INT),
    "failStrategy": enum("FAIL_CLOSE", "FAIL_OPEN", "FAIL_RELOAD"), "type": enum("UNSPECIFIED_PLUGIN_TYPE", "HTTP", "NETWORK"),
    "vmConfig": obj({"env": {
        **items(obj({"name!": string(low=1, high=256), "valueFrom": enum("INLINE", "HOST"), "value": string(high=2048)}), high=256),
        "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}}),
    "match": items(obj({
        "mode": enum("UNDEFINED", "CLIENT", "SERVER", "CLIENT_AND_SERVER"),
        "ports": {**items(obj({"number!": PORT})), "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["number"]}}))}, one=[ONE_TARGET])

# PeerAuthentication, RequestAuthentication, AuthorizationPolicy
MTLS = obj({"mode": enum("UNSET", "DISABLE", "PERMISSIVE", "STRICT")})
PEER_AUTHENTICATION = obj({"selector": SELECTOR, "mtls": MTLS, "portLevelMtls": table(MTLS, minProperties=1)})
URI = string("^[hH][tT][tT][pP][sS]?:", 1, 2048)
REQUEST_AUTHENTICATION = obj({
    **TARGETS,
    "jwtRules": items(obj({
        "issuer": NAME, "audiences": NAMES, "jwksUri": URI, "jwks_uri": URI, "jwks": STRING, "fromHeaders": items(obj({"name!": NAME, "prefix": STRING})),
        "fromParams": NAMES, "fromCookies": NAMES, "outputPayloadToHeader": STRING, "outputClaimToHeaders": items(obj({"header!": HEADER, "claim!": NAME})),
        "forwardOriginalToken": BOOL, "timeout": SOME_TIME, "spaceDelimitedClaims": items(NAME, high=64)}, one=[("jwksUri", "jwks_uri", "jwks")]), high=4096)},
    one=[ONE_TARGET])


def with_not(*names, schema=STRINGS):
    return {p: schema for n in names for p in (n, "not" + n[0].upper() + n[1:])}


SOURCE = obj({
    **with_not("principals", "requestPrincipals", "namespaces", "ipBlocks", "remoteIpBlocks", "trustDomains"),
    **with_not("serviceAccounts", schema=items(string(high=320), high=16))})
AUTHORIZATION_POLICY = obj({
    **TARGETS, "action": enum("ALLOW", "DENY", "AUDIT", "CUSTOM"), "provider": obj({"name": STRING}),
    "rules": items(obj({
        "from": items(obj({"source": SOURCE}), high=512), "to": items(obj({"operation": obj(with_not("hosts", "ports", "methods", "paths"))})),
        "when": items(obj({"key!": NAME, "values": STRINGS, "notValues": STRINGS}))}), high=512)}, one=[ONE_TARGET])

# Telemetry
WORKLOAD_MODE = enum("CLIENT_AND_SERVER", "CLIENT", "SERVER")
PROVIDERS = items(obj({"name!": NAME}))
FROM_NAME = obj({"name!": NAME, "defaultValue": STRING})
TELEMETRY = obj({
    **TARGETS,
    "tracing": items(obj({
        "match": obj({"mode": WORKLOAD_MODE}), "providers": PROVIDERS, "randomSamplingPercentage": nullable(PERCENT), "disableSpanReporting": MAYBE,
        "customTags": table(obj({"literal": obj({"value!": NAME}), "environment": FROM_NAME, "header": FROM_NAME, "formatter": obj({"value!": NAME})},
                                one=[("literal", "environment", "header", "formatter")])),
        "useRequestIdForTraceSampling": MAYBE, "enableIstioTags": MAYBE, "disableContextPropagation": MAYBE})),
    "metrics": items(obj({
        "providers": PROVIDERS, "reportingInterval": SOME_TIME,
        "overrides": items(obj({
            "match": obj({
                "metric": enum("ALL_METRICS", "REQUEST_COUNT", "REQUEST_DURATION", "REQUEST_SIZE", "RESPONSE_SIZE", "TCP_OPENED_CONNECTIONS", "TCP_CLOSED_CONNECTIONS",
                               "TCP_SENT_BYTES", "TCP_RECEIVED_BYTES", "GRPC_REQUEST_MESSAGES", "GRPC_RESPONSE_MESSAGES"),
                "customMetric": NAME, "mode": WORKLOAD_MODE}, one=[("metric", "customMetric")]),
            "disabled": MAYBE, "tagOverrides": table(obj({"operation": enum("UPSERT", "REMOVE"), "value": STRING}))}))})),
    "accessLogging": items(obj({"match": obj({"mode": WORKLOAD_MODE}), "providers": PROVIDERS, "disabled": MAYBE, "filter": obj({"expression": STRING})}))},
    one=[ONE_TARGET])

# meta/v1alpha1 of Istio's API; istiod puts more into it.
GENERATION = {"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]}
WHEN = {"type": "string", "format": "date-time"}
STATUS = {
    "conditions": items(obj({
        "type": STRING, "status": STRING, "reason": STRING, "message": STRING, "lastProbeTime": WHEN, "lastTransitionTime": WHEN, "observedGeneration": GENERATION})),
    "validationMessages": items(obj({
        "type": obj({"name": STRING, "code": STRING}), "level": enum("UNKNOWN", "ERROR", "WARNING", "INFO"), "documentationUrl": STRING})),
    "observedGeneration": GENERATION}
ADDRESSES = {"addresses": items(obj({"value": STRING, "host": STRING}))}

AGE = ("Age", ".metadata.creationTimestamp", "date", "When it was made")
V1, SECURITY = ("v1", "v1alpha3", "v1beta1"), ("v1", "v1beta1")


def column(name, field, what):
    return (name, ".spec." + field, "string", what)


# group, kind, plural, short names, versions (the first of them is stored, if none is named), what it is for, schema, columns, and: needs a spec; stored version; more of the status.
KINDS = [
    ("extensions", "WasmPlugin", "wasmplugins", (), ("v1alpha1",), "Code run inside of proxies that can.", WASM_PLUGIN, [AGE], {"spec": True}),
    ("networking", "DestinationRule", "destinationrules", ("dr",), V1, "How a service is called: its subsets, balancing, connections and TLS.", DESTINATION_RULE,
     [column("Host", "host", "Which service it is for"), AGE], {}),
    ("networking", "EnvoyFilter", "envoyfilters", (), ("v1alpha3",), "Changes of what an Envoy is configured with.", ENVOY_FILTER, None, {}),
    ("networking", "Gateway", "gateways", ("gw",), V1, "What proxies at the edge listen on.", GATEWAY, None, {}),
    ("networking", "ProxyConfig", "proxyconfigs", (), ("v1beta1",), "How sidecars are set up.", PROXY_CONFIG, None, {}),
    ("networking", "ServiceEntry", "serviceentries", ("se",), V1, "A service that Kubernetes does not know.", SERVICE_ENTRY,
     [column("Hosts", "hosts", "Its names"), column("Location", "location", "In the mesh, or outside"), column("Resolution", "resolution", "How its addresses are found"), AGE],
     {"spec": True, "status": ADDRESSES}),
    ("networking", "Sidecar", "sidecars", (), V1, "What sidecars take in, and which services they know.", SIDECAR, None, {}),
    ("networking", "VirtualService", "virtualservices", ("vs",), V1, "Where calls of a name go.", VIRTUAL_SERVICE,
     [column("Gateways", "gateways", "Where it holds"), column("Hosts", "hosts", "Which names it is for"), AGE], {}),
    ("networking", "WorkloadEntry", "workloadentries", ("we",), V1, "A workload that is no pod.", WORKLOAD_ENTRY, [AGE, column("Address", "address", "Where it is")],
     {"spec": True}),
    ("networking", "WorkloadGroup", "workloadgroups", ("wg",), V1, "What workloads that are no pods begin with.", WORKLOAD_GROUP, [AGE], {"spec": True}),
    ("security", "AuthorizationPolicy", "authorizationpolicies", ("ap",), SECURITY, "Who may call a workload.", AUTHORIZATION_POLICY,
     [column("Action", "action", "What is done with calls that match"), AGE], {}),
    ("security", "PeerAuthentication", "peerauthentications", ("pa",), SECURITY, "Whether a workload takes calls in plain text.", PEER_AUTHENTICATION,
     [column("Mode", "mtls.mode", "Whether mutual TLS is needed"), AGE], {}),
    ("security", "RequestAuthentication", "requestauthentications", ("ra",), SECURITY, "Which tokens a workload believes.", REQUEST_AUTHENTICATION, None, {}),
    ("telemetry", "Telemetry", "telemetries", ("telemetry",), ("v1", "v1alpha1"), "Metrics, logs and traces of workloads.", TELEMETRY, [AGE], {"stored": "v1alpha1"}),
]


def definition(group, kind, plural, short, versions, what, spec, columns, more):
    whole_object = obj({"spec!" if more.get("spec") else "spec": spec, "status": obj({**STATUS, **more.get("status", {})}, **{"x-kubernetes-preserve-unknown-fields": True})},
                       description=what)
    full = f"{group}.istio.io"
    printed = {} if columns is None else {"additionalPrinterColumns": [dict(zip(("name", "jsonPath", "type", "description"), c)) for c in columns]}
    return {
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": f"{plural}.{full}"},
        "spec": {
            "group": full, "scope": "Namespaced",
            "names": {"kind": kind, "listKind": kind + "List", "plural": plural, "singular": kind.lower(), **({"shortNames": list(short)} if short else {}),
                      "categories": ["istio-io", f"{group}-istio-io"]},
            "versions": [{"name": v, "served": True, "storage": v == more.get("stored", versions[0]), "subresources": {"status": {}}, **printed,
                          "schema": {"openAPIV3Schema": whole_object}} for v in versions]}}


class Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data):
        return True


def files():
    """Name and text of each."""
    for kind in KINDS:
        text = yaml.dump(definition(*kind), Dumper=Dumper, sort_keys=False, default_flow_style=None, width=160, allow_unicode=True)
        yield f"{kind[0]}.{kind[2]}.yaml", f"# {kind[1]} of {kind[0]}.istio.io; made by tools/istio_crds.py, which is the place to change it.\n{text}"


def main():
    made = dict(files())
    there = {n for n in os.listdir(OUT) if n.endswith(".yaml")} if os.path.isdir(OUT) else set()
    if sys.argv[1:] == ["--check"]:
        wrong = sorted(there ^ set(made))
        for name in sorted(there & set(made)):
            with open(os.path.join(OUT, name), encoding="utf-8") as f:
                if f.read() != made[name]:
                    wrong.append(name)
        for name in wrong:
            print(f"deploy/crds/{name} is not what tools/istio_crds.py writes; run it")
        return 1 if wrong else 0
    if sys.argv[1:]:
        print("usage: tools/istio_crds.py [--check]", file=sys.stderr)
        return 2
    os.makedirs(OUT, exist_ok=True)
    for name in sorted(there - set(made)):
        os.remove(os.path.join(OUT, name))
    for name, text in made.items():
        with open(os.path.join(OUT, name), "w", encoding="utf-8") as f:
            f.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
