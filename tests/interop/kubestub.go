package main

import (
	"encoding/json"
	"net"
	"net/http"
	"strings"
)

// A Kubernetes API without an object: istiod (of 2026-08) does not start without one, also when its configuration comes from files. Lists are empty,
// watches say nothing, and what is asked for by name is not there.

var listKinds = map[string]string{"namespaces": "NamespaceList", "services": "ServiceList", "pods": "PodList", "nodes": "NodeList", "configmaps": "ConfigMapList", "secrets": "SecretList",
	"endpointslices": "EndpointSliceList", "endpoints": "EndpointsList", "serviceaccounts": "ServiceAccountList", "ingresses": "IngressList", "ingressclasses": "IngressClassList",
	"customresourcedefinitions": "CustomResourceDefinitionList", "mutatingwebhookconfigurations": "MutatingWebhookConfigurationList",
	"validatingwebhookconfigurations": "ValidatingWebhookConfigurationList", "deployments": "DeploymentList", "leases": "LeaseList", "horizontalpodautoscalers": "HorizontalPodAutoscalerList",
	"poddisruptionbudgets": "PodDisruptionBudgetList"}

func answerJSON(w http.ResponseWriter, code int, v any) {
	w.Header().Set("content-type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(v)
}

func failure(w http.ResponseWriter, code int, reason string) {
	answerJSON(w, code, map[string]any{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "code": code, "message": "the stub has none"})
}

func stubKubernetes(w http.ResponseWriter, r *http.Request) {
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	last := parts[len(parts)-1]
	q := r.URL.Query()
	switch {
	case r.URL.Path == "/version":
		answerJSON(w, 200, map[string]string{"major": "1", "minor": "34", "gitVersion": "v1.34.0"})
	case r.Method != http.MethodGet:
		failure(w, 403, "Forbidden")
	case r.URL.Path == "/api":
		answerJSON(w, 200, map[string]any{"kind": "APIVersions", "versions": []string{"v1"}})
	case r.URL.Path == "/apis":
		answerJSON(w, 200, map[string]any{"kind": "APIGroupList", "apiVersion": "v1", "groups": []any{}})
	case q.Get("sendInitialEvents") == "true":
		failure(w, 422, "Invalid") // the client lists and watches instead
	case q.Get("watch") != "":
		w.Header().Set("content-type", "application/json")
		w.WriteHeader(200)
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	case listKinds[last] != "":
		version := "v1"
		if parts[0] == "apis" && len(parts) > 2 {
			version = parts[1] + "/" + parts[2]
		}
		kind := listKinds[last]
		if strings.Contains(r.Header.Get("accept"), "as=PartialObjectMetadataList") {
			kind, version = "PartialObjectMetadataList", "meta.k8s.io/v1"
		}
		answerJSON(w, 200, map[string]any{"kind": kind, "apiVersion": version, "metadata": map[string]string{"resourceVersion": "1"}, "items": []any{}})
	default:
		failure(w, 404, "NotFound")
	}
}

// startKubernetes returns a kubeconfig's text.
func startKubernetes() string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	go func() { _ = http.Serve(l, http.HandlerFunc(stubKubernetes)) }()
	return `apiVersion: v1
kind: Config
clusters: [{name: stub, cluster: {server: "http://` + l.Addr().String() + `"}}]
contexts: [{name: stub, context: {cluster: stub, user: stub}}]
users: [{name: stub, user: {token: none}}]
current-context: stub
`
}
