package main

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/types"
	"github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	"github.com/envoyproxy/go-control-plane/pkg/server/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/protobuf/proto"
)

var kinds = []types.ResponseType{types.Cluster, types.Endpoint, types.Listener, types.Route, types.Secret}

// control is go-control-plane's server with a snapshot cache; its callbacks keep what was sent and how it was answered.
type control struct {
	cache     cache.SnapshotCache
	callbacks server.CallbackFuncs
	port      uint32
	grpc      *grpc.Server

	mu       sync.Mutex
	open     map[string]string // nonce -> type: sent, not answered yet
	acks     map[string]int
	nacks    map[string][]string // type -> texts, since the last look
	streams  int
	lastSent map[string]string // state of the world: type -> version
	acked    map[string]string
	last     map[types.ResponseType][]types.Resource
	version  map[types.ResponseType]int
}

func startControl(delta bool) *control {
	c := &control{open: map[string]string{}, acks: map[string]int{}, nacks: map[string][]string{},
		lastSent: map[string]string{}, acked: map[string]string{}, last: map[types.ResponseType][]types.Resource{}, version: map[types.ResponseType]int{}}
	c.callbacks = server.CallbackFuncs{
		StreamOpenFunc:      func(context.Context, int64, string) error { c.opened(); return nil },
		DeltaStreamOpenFunc: func(context.Context, int64, string) error { c.opened(); return nil },
		StreamRequestFunc: func(_ int64, r *discovery.DiscoveryRequest) error {
			c.answered(r.TypeUrl, r.ResponseNonce, r.GetErrorDetail().GetMessage(), r.VersionInfo)
			return nil
		},
		StreamDeltaRequestFunc: func(_ int64, r *discovery.DeltaDiscoveryRequest) error {
			c.answered(r.TypeUrl, r.ResponseNonce, r.GetErrorDetail().GetMessage(), "")
			return nil
		},
		StreamResponseFunc: func(_ context.Context, _ int64, _ *discovery.DiscoveryRequest, r *discovery.DiscoveryResponse) {
			c.sent(r.TypeUrl, r.Nonce, r.VersionInfo)
		},
		StreamDeltaResponseFunc: func(_ int64, _ *discovery.DeltaDiscoveryRequest, r *discovery.DeltaDiscoveryResponse) {
			c.sent(r.TypeUrl, r.Nonce, r.SystemVersionInfo)
		},
	}
	c.serve()
	return c
}

// serve begins with nothing known of any client, on the port of the last time.
func (c *control) serve() {
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", c.port))
	must(err)
	c.port = uint32(l.Addr().(*net.TCPAddr).Port)
	c.cache = cache.NewSnapshotCache(true, cache.IDHash{}, nil)
	c.grpc = grpc.NewServer(grpc.KeepaliveParams(keepalive.ServerParameters{Time: 30 * time.Second}))
	discovery.RegisterAggregatedDiscoveryServiceServer(c.grpc, server.NewServer(context.Background(), c.cache, c.callbacks))
	go func() { _ = c.grpc.Serve(l) }()
}

// die takes all connections with it; what the client is told later is what changed meanwhile.
func (c *control) die() int {
	c.grpc.Stop()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open = map[string]string{}
	c.acked = map[string]string{}
	return c.streams
}

func (c *control) opened() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.streams++
	c.open = map[string]string{}
}

func (c *control) sent(kind, nonce, version string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open[kind+nonce] = kind
	c.lastSent[kind] = version
}

func (c *control) answered(kind, nonce, refusal, version string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if nonce == "" {
		return
	}
	if _, ok := c.open[kind+nonce]; !ok {
		return // a change of what is subscribed
	}
	delete(c.open, kind+nonce)
	if refusal != "" {
		c.nacks[kind] = append(c.nacks[kind], refusal)
		return
	}
	c.acks[kind]++
	c.acked[kind] = version
}

// takeNacks are the refusals since the last call.
func (c *control) takeNacks() map[string][]string {
	c.mu.Lock()
	defer c.mu.Unlock()
	nacks := c.nacks
	c.nacks = map[string][]string{}
	return nacks
}

func same(a, b []types.Resource) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !proto.Equal(a[i].(proto.Message), b[i].(proto.Message)) {
			return false
		}
	}
	return true
}

// waitForClusters: while an answer about clusters is out, go-control-plane holds the next ones back, but not the tables and listeners that name them.
func (c *control) waitForClusters() {
	url, err := cache.GetResponseTypeURL(types.Cluster)
	must(err)
	_, _ = eventually(time.Second, func() string {
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, kind := range c.open {
			if kind == url {
				return kind
			}
		}
		return ""
	})
}

// push sets the snapshot; a type of which nothing has changed keeps its version, as a control plane with care would do.
func (c *control) push(all map[types.ResponseType][]types.Resource) {
	c.waitForClusters()
	snapshot := &cache.Snapshot{}
	c.mu.Lock()
	for _, kind := range kinds {
		if c.version[kind] == 0 || !same(all[kind], c.last[kind]) {
			c.version[kind]++
		}
		snapshot.Resources[kind] = cache.NewResources(fmt.Sprint(c.version[kind]), all[kind])
	}
	c.last = all
	c.mu.Unlock()
	must(snapshot.Consistent())
	must(c.cache.SetSnapshot(context.Background(), "interop", snapshot))
}

// unanswered says what was sent and neither acknowledged nor refused, or is not the newest (delta: each resource's version is the server's business).
func (c *control) unanswered(delta bool) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, kind := range c.open {
		return kind + " is not answered"
	}
	for _, kind := range kinds {
		url, err := cache.GetResponseTypeURL(kind)
		must(err)
		if !delta && len(c.last[kind]) > 0 && c.acked[url] != fmt.Sprint(c.version[kind]) {
			return fmt.Sprintf("%s: acknowledged %q, sent %q, current %d", url, c.acked[url], c.lastSent[url], c.version[kind])
		}
	}
	return ""
}
