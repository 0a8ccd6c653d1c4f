package main

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"strings"
	"time"

	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tls "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	status "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"
)

// Types are asked for in Envoy's order: those that name others first.
var followed = []string{resource.ClusterType, resource.EndpointType, resource.ListenerType, resource.RouteType, resource.SecretType}

type held struct {
	asked bool
	names map[string]bool          // that something names, and we have asked for
	have  map[string]proto.Message // by name
}

// response is one of either kind.
type response struct {
	url, nonce, version string
	resources           []*anypb.Any
	removed             []string
	whole               bool // what is not in it has gone
}

type client struct {
	checker
	delta     bool
	node      *core.Node
	sotw      discovery.AggregatedDiscoveryService_StreamAggregatedResourcesClient
	inc       discovery.AggregatedDiscoveryService_DeltaAggregatedResourcesClient
	in        chan *response
	failed    chan error
	types     map[string]*held
	version   map[string]string
	nonce     map[string]string
	responses int
	seen      map[string]int
}

func dial(address string, delta bool, id, generator string) (*client, error) {
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, err
	}
	c := &client{checker: checker{messages: map[string]int{}}, delta: delta, node: &core.Node{Id: id, Cluster: "validate"}, in: make(chan *response), failed: make(chan error, 1),
		types: map[string]*held{}, version: map[string]string{}, nonce: map[string]string{}, seen: map[string]int{}}
	if generator != "" {
		c.node.Metadata = &structpb.Struct{Fields: map[string]*structpb.Value{"GENERATOR": structpb.NewStringValue(generator)}}
	}
	for _, url := range followed {
		c.types[url] = &held{names: map[string]bool{}, have: map[string]proto.Message{}}
	}
	service := discovery.NewAggregatedDiscoveryServiceClient(conn)
	if delta {
		c.inc, err = service.DeltaAggregatedResources(context.Background())
	} else {
		c.sotw, err = service.StreamAggregatedResources(context.Background())
	}
	go c.read()
	return c, err
}

func (c *client) read() {
	for {
		var r *response
		var err error
		if c.delta {
			var m *discovery.DeltaDiscoveryResponse
			if m, err = c.inc.Recv(); err == nil {
				r = &response{url: m.TypeUrl, nonce: m.Nonce, removed: m.RemovedResources}
				for _, one := range m.Resources {
					r.resources = append(r.resources, one.Resource)
				}
				err = m.ValidateAll()
			}
		} else {
			var m *discovery.DiscoveryResponse
			if m, err = c.sotw.Recv(); err == nil {
				r = &response{url: m.TypeUrl, nonce: m.Nonce, version: m.VersionInfo, resources: m.Resources, whole: m.TypeUrl == resource.ClusterType || m.TypeUrl == resource.ListenerType}
				err = m.ValidateAll()
			}
		}
		if err != nil {
			c.failed <- err
			return
		}
		c.in <- r
	}
}

// say asks for names, answers a response, or both. wrong "": it is taken.
func (c *client) say(url, nonce string, add, drop []string, wrong string) error {
	var detail *status.Status
	if wrong != "" {
		detail = &status.Status{Code: 3, Message: wrong}
	}
	if c.delta {
		return c.inc.Send(&discovery.DeltaDiscoveryRequest{Node: c.node, TypeUrl: url, ResponseNonce: nonce, ResourceNamesSubscribe: add, ResourceNamesUnsubscribe: drop, ErrorDetail: detail})
	}
	if nonce != "" {
		c.nonce[url] = nonce
	}
	return c.sotw.Send(&discovery.DiscoveryRequest{Node: c.node, TypeUrl: url, VersionInfo: c.version[url], ResponseNonce: c.nonce[url], ResourceNames: sorted(c.types[url].names), ErrorDetail: detail})
}

func sorted[V any](m map[string]V) []string {
	names := []string{}
	for name := range m {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

func nameOf(m proto.Message) string {
	fields := m.ProtoReflect().Descriptor().Fields()
	for _, field := range []string{"name", "cluster_name"} {
		if f := fields.ByName(protoreflect.Name(field)); f != nil {
			return m.ProtoReflect().Get(f).String()
		}
	}
	return ""
}

// named gathers what a resource says must come by another type.
func named(m protoreflect.Message, to map[string]map[string]bool) {
	switch one := m.Interface().(type) {
	case *cluster.Cluster:
		if one.GetType() == cluster.Cluster_EDS {
			name := one.GetEdsClusterConfig().GetServiceName()
			if name == "" {
				name = one.Name
			}
			to[resource.EndpointType][name] = true
		}
	case *hcm.Rds:
		to[resource.RouteType][one.RouteConfigName] = true
	case *tls.SdsSecretConfig:
		to[resource.SecretType][one.Name] = true
	case *anypb.Any:
		if inner, err := one.UnmarshalNew(); err == nil {
			named(inner.ProtoReflect(), to)
		}
		return
	}
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case f.IsMap():
			if f.MapValue().Message() != nil {
				v.Map().Range(func(_ protoreflect.MapKey, v protoreflect.Value) bool { named(v.Message(), to); return true })
			}
		case f.Message() == nil:
		case f.IsList():
			for i := 0; i < v.List().Len(); i++ {
				named(v.List().Get(i).Message(), to)
			}
		default:
			named(v.Message(), to)
		}
		return true
	})
}

// subscribe asks for what is named now, and no more for what is not.
func (c *client) subscribe() error {
	want := map[string]map[string]bool{resource.EndpointType: {}, resource.RouteType: {}, resource.SecretType: {}}
	for _, url := range []string{resource.ClusterType, resource.ListenerType} {
		for _, m := range c.types[url].have {
			named(m.ProtoReflect(), want)
		}
	}
	for _, url := range followed {
		t, names := c.types[url], want[url]
		if names == nil {
			continue
		}
		var add, drop []string
		for _, name := range sorted(names) {
			if !t.names[name] {
				add = append(add, name)
			}
		}
		for _, name := range sorted(t.names) {
			if !names[name] {
				drop = append(drop, name)
				delete(t.have, name)
			}
		}
		t.names = names
		if len(add)+len(drop) == 0 {
			continue
		}
		t.asked = true
		if err := c.say(url, "", add, drop, ""); err != nil {
			return err
		}
	}
	return nil
}

func (c *client) take(r *response) error {
	t := c.types[r.url]
	if t == nil {
		return fmt.Errorf("a response of %s, which nobody has asked for", r.url)
	}
	c.responses++
	before := len(c.wrong)
	if r.whole {
		t.have = map[string]proto.Message{}
	}
	for _, a := range r.resources {
		short := r.url[strings.LastIndex(r.url, ".")+1:]
		m := c.any(short, a)
		if a.TypeUrl != r.url {
			c.complain(short, "a resource of %s in a response of %s", a.TypeUrl, r.url)
		} else if m != nil {
			c.seen[short]++
			t.have[nameOf(m)] = m
		}
	}
	for _, name := range r.removed {
		delete(t.have, name)
	}
	wrong := strings.Join(c.wrong[before:], "; ")
	if wrong == "" {
		c.version[r.url] = r.version
	}
	if err := c.say(r.url, r.nonce, nil, nil, wrong); err != nil {
		return err
	}
	return c.subscribe()
}

// missing: what something names, and has not come.
func (c *client) missing() string {
	for _, url := range followed {
		for _, name := range sorted(c.types[url].names) {
			if c.types[url].have[name] == nil {
				return url + " " + name
			}
		}
	}
	if len(c.types[resource.ListenerType].have) == 0 || len(c.types[resource.ClusterType].have) == 0 {
		return "clusters and listeners"
	}
	return ""
}

func (c *client) run(follow bool, over chan struct{}, limit time.Duration) error {
	for _, url := range []string{resource.ClusterType, resource.ListenerType} {
		if err := c.say(url, "", nil, nil, ""); err != nil {
			return err
		}
	}
	late := time.After(limit)
	for follow || c.missing() != "" {
		select {
		case r := <-c.in:
			if err := c.take(r); err != nil {
				return err
			}
		case err := <-c.failed:
			return err
		case <-over:
			return nil
		case <-late:
			if missing := c.missing(); missing != "" {
				return errors.New("it does not come: " + missing)
			}
			late = nil
		}
	}
	return nil
}

func (c *client) result() *result {
	mode := "sotw"
	if c.delta {
		mode = "delta"
	}
	r := &result{Mode: mode, Responses: c.responses, Seen: c.seen, Messages: c.messages, Names: map[string][]string{}, Wrong: c.wrong}
	for _, url := range followed {
		r.Names[url[strings.LastIndex(url, ".")+1:]] = sorted(c.types[url].have)
	}
	return r
}
