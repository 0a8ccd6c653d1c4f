package main

import (
	"fmt"
	"time"

	accesslog "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpoint "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	rbac "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	filelog "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/file/v3"
	cors "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/cors/v3"
	fault "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/fault/v3"
	rbacfilter "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/rbac/v3"
	router "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/types"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

var policies = []clusterv3.Cluster_LbPolicy{clusterv3.Cluster_ROUND_ROBIN, clusterv3.Cluster_LEAST_REQUEST, clusterv3.Cluster_RANDOM, clusterv3.Cluster_RING_HASH}

func toAny(m proto.Message) *anypb.Any {
	a, err := anypb.New(m)
	must(err)
	return a
}

func ads() *core.ConfigSource {
	return &core.ConfigSource{ResourceApiVersion: core.ApiVersion_V3, ConfigSourceSpecifier: &core.ConfigSource_Ads{Ads: &core.AggregatedConfigSource{}}}
}

func address(port uint32) *core.Address {
	return &core.Address{Address: &core.Address_SocketAddress{SocketAddress: &core.SocketAddress{Address: "127.0.0.1",
		PortSpecifier: &core.SocketAddress_PortValue{PortValue: port}}}}
}

func (w *world) assignment(name string) *endpoint.ClusterLoadAssignment {
	var all []*endpoint.LbEndpoint
	for _, i := range w.clusters[name].backends {
		all = append(all, &endpoint.LbEndpoint{HostIdentifier: &endpoint.LbEndpoint_Endpoint{Endpoint: &endpoint.Endpoint{Address: address(w.backends[i].port)}}})
	}
	return &endpoint.ClusterLoadAssignment{ClusterName: name, Endpoints: []*endpoint.LocalityLbEndpoints{{LbEndpoints: all}}}
}

func (w *world) clusterResource(name string) *clusterv3.Cluster {
	c := w.clusters[name]
	m := &clusterv3.Cluster{Name: name, LbPolicy: policies[c.policy], ConnectTimeout: durationpb.New(time.Duration(c.timeoutMs) * time.Millisecond)}
	if c.kind == eds {
		m.ClusterDiscoveryType = &clusterv3.Cluster_Type{Type: clusterv3.Cluster_EDS}
		m.EdsClusterConfig = &clusterv3.Cluster_EdsClusterConfig{EdsConfig: ads()}
	} else {
		m.ClusterDiscoveryType = &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC}
		m.LoadAssignment = w.assignment(name)
	}
	if c.extra&1 != 0 {
		m.OutlierDetection = &clusterv3.OutlierDetection{}
	}
	if c.extra&2 != 0 {
		m.HealthChecks = []*core.HealthCheck{{Timeout: durationpb.New(time.Second), Interval: durationpb.New(50 * time.Millisecond),
			UnhealthyThreshold: wrapperspb.UInt32(3), HealthyThreshold: wrapperspb.UInt32(1),
			HealthChecker: &core.HealthCheck_TcpHealthCheck_{TcpHealthCheck: &core.HealthCheck_TcpHealthCheck{}}}}
	}
	if c.extra == 3 && c.policy == 0 {
		m.LbConfig = &clusterv3.Cluster_RoundRobinLbConfig_{RoundRobinLbConfig: &clusterv3.Cluster_RoundRobinLbConfig{
			SlowStartConfig: &clusterv3.Cluster_SlowStartConfig{SlowStartWindow: durationpb.New(time.Second)}}}
	}
	return m
}

func (r route) resource() *routev3.Route {
	m := &routev3.Route{Match: &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: r.path}},
		RequestHeadersToAdd: []*core.HeaderValueOption{{Header: &core.HeaderValue{Key: "x-route", Value: r.id}, AppendAction: core.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD}}}
	if r.exact {
		m.Match.PathSpecifier = &routev3.RouteMatch_Path{Path: r.path}
	}
	switch r.action {
	case toCluster:
		m.Action = &routev3.Route_Route{Route: &routev3.RouteAction{ClusterSpecifier: &routev3.RouteAction_Cluster{Cluster: r.clusters[0]}}}
	case toWeighted:
		var parts []*routev3.WeightedCluster_ClusterWeight
		for _, name := range r.clusters {
			parts = append(parts, &routev3.WeightedCluster_ClusterWeight{Name: name, Weight: wrapperspb.UInt32(50)})
		}
		m.Action = &routev3.Route_Route{Route: &routev3.RouteAction{ClusterSpecifier: &routev3.RouteAction_WeightedClusters{
			WeightedClusters: &routev3.WeightedCluster{Clusters: parts}}}}
	case direct:
		m.Action = &routev3.Route_DirectResponse{DirectResponse: &routev3.DirectResponseAction{Status: r.status,
			Body: &core.DataSource{Specifier: &core.DataSource_InlineString{InlineString: r.id}}}}
	case redirect:
		m.Action = &routev3.Route_Redirect{Redirect: &routev3.RedirectAction{PathRewriteSpecifier: &routev3.RedirectAction_PathRedirect{PathRedirect: "/" + r.id}}}
	}
	if forward := m.GetRoute(); forward != nil && r.retries {
		forward.RetryPolicy = &routev3.RetryPolicy{RetryOn: "5xx,connect-failure", NumRetries: wrapperspb.UInt32(2)}
	}
	return m
}

// passing lets every request through.
func passing(kind int) []*hcm.HttpFilter {
	var m proto.Message
	name := ""
	switch kind {
	case 1:
		name, m = "envoy.filters.http.cors", &cors.Cors{}
	case 2:
		name, m = "envoy.filters.http.fault", &fault.HTTPFault{}
	case 3:
		name, m = "envoy.filters.http.rbac", &rbacfilter.RBAC{Rules: &rbac.RBAC{Action: rbac.RBAC_DENY, Policies: map[string]*rbac.Policy{}}}
	default:
		return nil
	}
	return []*hcm.HttpFilter{{Name: name, ConfigType: &hcm.HttpFilter_TypedConfig{TypedConfig: toAny(m)}}}
}

func (w *world) tableResource(name string) *routev3.RouteConfiguration {
	m := &routev3.RouteConfiguration{Name: name}
	for _, host := range keys(w.tables[name].hosts) {
		v := &routev3.VirtualHost{Name: host, Domains: []string{host}}
		for _, r := range w.tables[name].hosts[host] {
			v.Routes = append(v.Routes, r.resource())
		}
		m.VirtualHosts = append(m.VirtualHosts, v)
	}
	return m
}

// fileLog tells why a request failed.
func fileLog(path string) *accesslog.AccessLog {
	format := &core.SubstitutionFormatString{Format: &core.SubstitutionFormatString_TextFormatSource{TextFormatSource: &core.DataSource{
		Specifier: &core.DataSource_InlineString{InlineString: "%START_TIME% %REQ(:PATH)% %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %UPSTREAM_CLUSTER% %UPSTREAM_HOST%\n"}}}}
	return &accesslog.AccessLog{Name: "envoy.access_loggers.file", ConfigType: &accesslog.AccessLog_TypedConfig{TypedConfig: toAny(&filelog.FileAccessLog{Path: path,
		AccessLogFormat: &filelog.FileAccessLog_LogFormat{LogFormat: format}})}}
}

func (w *world) listenerResource(name string) *listenerv3.Listener {
	l := w.listeners[name]
	manager := &hcm.HttpConnectionManager{StatPrefix: fmt.Sprintf("%s-%d", name, l.stat),
		HttpFilters: append(passing(l.filter), &hcm.HttpFilter{Name: "envoy.filters.http.router", ConfigType: &hcm.HttpFilter_TypedConfig{TypedConfig: toAny(&router.Router{})}})}
	if l.inline {
		manager.RouteSpecifier = &hcm.HttpConnectionManager_RouteConfig{RouteConfig: w.tableResource(l.table)}
	} else {
		manager.RouteSpecifier = &hcm.HttpConnectionManager_Rds{Rds: &hcm.Rds{RouteConfigName: l.table, ConfigSource: ads()}}
	}
	if name == "always" || name == "always-tls" {
		manager.AccessLog = append(manager.AccessLog, fileLog(w.logFile))
	}
	if l.logs {
		manager.AccessLog = append(manager.AccessLog, fileLog("/dev/null"))
	}
	chain := &listenerv3.FilterChain{Filters: []*listenerv3.Filter{{Name: "envoy.filters.network.http_connection_manager",
		ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: toAny(manager)}}}}
	if l.secret != "" {
		chain.TransportSocket = &core.TransportSocket{Name: "envoy.transport_sockets.tls", ConfigType: &core.TransportSocket_TypedConfig{
			TypedConfig: toAny(&tlsv3.DownstreamTlsContext{CommonTlsContext: &tlsv3.CommonTlsContext{
				TlsCertificateSdsSecretConfigs: []*tlsv3.SdsSecretConfig{{Name: l.secret, SdsConfig: ads()}}}})}}
	}
	return &listenerv3.Listener{Name: name, Address: address(l.port), FilterChains: []*listenerv3.FilterChain{chain}}
}

func secretResource(name string, cert, key []byte) *tlsv3.Secret {
	bytes := func(b []byte) *core.DataSource {
		return &core.DataSource{Specifier: &core.DataSource_InlineBytes{InlineBytes: b}}
	}
	return &tlsv3.Secret{Name: name, Type: &tlsv3.Secret_TlsCertificate{TlsCertificate: &tlsv3.TlsCertificate{CertificateChain: bytes(cert), PrivateKey: bytes(key)}}}
}

// resources are those of each type; endpoints and tables that nobody names are not among them: the state-of-the-world server sends nothing of a type
// while the client has not asked for all of it.
func (w *world) resources() map[types.ResponseType][]types.Resource {
	all := map[types.ResponseType][]types.Resource{}
	for _, name := range keys(w.clusters) {
		all[types.Cluster] = append(all[types.Cluster], w.clusterResource(name))
		if w.clusters[name].kind == eds {
			all[types.Endpoint] = append(all[types.Endpoint], w.assignment(name))
		}
	}
	named := map[string]bool{}
	for _, name := range keys(w.listeners) {
		all[types.Listener] = append(all[types.Listener], w.listenerResource(name))
		if !w.listeners[name].inline {
			named[w.listeners[name].table] = true
		}
	}
	for _, name := range keys(named) {
		all[types.Route] = append(all[types.Route], w.tableResource(name))
	}
	for _, name := range keys(w.secrets) {
		all[types.Secret] = append(all[types.Secret], secretResource(name, w.secrets[name].cert, w.secrets[name].key))
	}
	return all
}

// spoil adds one thing that must be refused, and says of which type; it leaves what is good as it is in the world, so that the next snapshot mends it.
func (w *world) spoil(all map[types.ResponseType][]types.Resource) types.ResponseType {
	switch w.r.Intn(5) {
	case 0:
		all[types.Cluster] = append(all[types.Cluster], &clusterv3.Cluster{Name: "bad", LbPolicy: clusterv3.Cluster_RING_HASH,
			LbConfig: &clusterv3.Cluster_RingHashLbConfig_{RingHashLbConfig: &clusterv3.Cluster_RingHashLbConfig{
				MinimumRingSize: wrapperspb.UInt64(2000), MaximumRingSize: wrapperspb.UInt64(1000)}}})
		return types.Cluster
	case 1:
		m := w.listenerResource("always")
		m.Name = "bad" // its address is taken
		all[types.Listener] = append(all[types.Listener], m)
		return types.Listener
	case 2:
		if len(all[types.Endpoint]) == 0 {
			return w.spoil(all)
		}
		i := w.r.Intn(len(all[types.Endpoint]))
		m := proto.Clone(all[types.Endpoint][i].(proto.Message)).(*endpoint.ClusterLoadAssignment)
		m.Endpoints[0].LbEndpoints[0].GetEndpoint().Address.GetSocketAddress().Address = "not an address"
		all[types.Endpoint][i] = m
		return types.Endpoint
	case 3:
		if len(all[types.Route]) == 0 {
			return w.spoil(all)
		}
		i := w.r.Intn(len(all[types.Route]))
		m := proto.Clone(all[types.Route][i].(proto.Message)).(*routev3.RouteConfiguration)
		m.VirtualHosts[0].Domains = append(m.VirtualHosts[0].Domains, m.VirtualHosts[0].Domains[0])
		all[types.Route][i] = m
		return types.Route
	}
	i := w.r.Intn(len(all[types.Secret]))
	name := all[types.Secret][i].(*tlsv3.Secret).Name
	all[types.Secret][i] = secretResource(name, []byte("not a certificate"), []byte("not a key"))
	return types.Secret
}
