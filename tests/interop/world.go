package main

import (
	"fmt"
	"math/rand"
	"sort"
)

// The world is what the configuration should be: it is changed at random, always validly, turned into resources (resources.go), and compared with
// what the proxy answers (check.go).

type clusterKind int

const (
	eds clusterKind = iota
	static
)

type cluster struct {
	kind      clusterKind
	policy    int   // index of policies
	timeoutMs int64 // connect_timeout
	backends  []int
	extra     int // what runs beside its requests: nothing, outlier detection, health checks, both with warming up
}

type action int

const (
	toCluster action = iota
	toWeighted
	direct
	redirect
)

type route struct {
	id       string // put into the request, so that the answer tells which route took it
	path     string
	exact    bool
	action   action
	clusters []string // one, or two by weight
	retries  bool
	status   uint32 // of a direct response
}

type table struct {
	hosts map[string][]route // "*" or a name
}

type listener struct {
	port   uint32
	secret string // "": plain
	table  string
	inline bool // the table is part of the listener
	stat   int  // changes for the sake of change
	logs   bool
	filter int // of HTTP: none, or one that lets everything through
}

type world struct {
	r         *rand.Rand
	backends  []backend
	ports     []uint32 // free
	n         int      // for names
	serial    int64
	clusters  map[string]*cluster
	tables    map[string]*table
	listeners map[string]*listener
	secrets   map[string]pair
	logFile   string
}

const (
	maxClusters  = 40
	maxListeners = 12
	maxRoutes    = 30 // a host
)

func newWorld(r *rand.Rand, backends []backend, ports []uint32, logFile string) *world {
	w := &world{r: r, backends: backends, ports: ports, clusters: map[string]*cluster{}, tables: map[string]*table{}, listeners: map[string]*listener{},
		secrets: map[string]pair{}, logFile: logFile}
	w.addCluster()
	w.addCluster()
	w.tables["always"] = &table{map[string][]route{"always": {w.alwaysRoute()}}}
	w.addSecret("always")
	w.listeners["always"] = &listener{port: w.takePort(), table: "always"}
	w.listeners["always-tls"] = &listener{port: w.takePort(), table: "always", secret: "always"}
	return w
}

func (w *world) name(kind string) string {
	w.n++
	return fmt.Sprintf("%s%d", kind, w.n)
}

func (w *world) takePort() uint32 {
	i := w.r.Intn(len(w.ports))
	port := w.ports[i]
	w.ports = append(w.ports[:i], w.ports[i+1:]...)
	return port
}

// keys in order: a seed gives the same run.
func keys[V any](m map[string]V) []string {
	var all []string
	for k := range m {
		all = append(all, k)
	}
	sort.Strings(all)
	return all
}

func pick[V any](r *rand.Rand, m map[string]V) string {
	all := keys(m)
	return all[r.Intn(len(all))]
}

func (w *world) someBackends() []int {
	return w.r.Perm(len(w.backends))[:1+w.r.Intn(4)]
}

// ---- changes ----

func (w *world) addCluster() {
	if len(w.clusters) >= maxClusters {
		return
	}
	w.clusters[w.name("c")] = &cluster{clusterKind(w.r.Intn(2)), w.r.Intn(4), 1000 + int64(w.r.Intn(5))*250, w.someBackends(), w.r.Intn(4)}
}

func (w *world) changeCluster() {
	c := w.clusters[pick(w.r, w.clusters)]
	switch w.r.Intn(5) {
	case 4:
		c.extra = w.r.Intn(4)
	case 0:
		c.kind = 1 - c.kind
	case 1:
		c.policy = w.r.Intn(4)
	case 2:
		c.timeoutMs = 1000 + int64(w.r.Intn(5))*250
	case 3:
		c.backends = w.someBackends()
	}
}

func (w *world) changeEndpoints() {
	for _, name := range keys(w.clusters) {
		if w.clusters[name].kind == eds && w.r.Intn(3) == 0 {
			w.clusters[name].backends = w.someBackends()
		}
	}
}

// removeCluster takes it from the routes, too: a configuration never names what is not there.
func (w *world) removeCluster() {
	if len(w.clusters) < 4 {
		return
	}
	gone := pick(w.r, w.clusters)
	delete(w.clusters, gone)
	for _, t := range keys(w.tables) {
		for _, h := range keys(w.tables[t].hosts) {
			for i := range w.tables[t].hosts[h] {
				for j, name := range w.tables[t].hosts[h][i].clusters {
					if name == gone {
						w.tables[t].hosts[h][i].clusters[j] = pick(w.r, w.clusters)
					}
				}
			}
		}
	}
}

func (w *world) alwaysRoute() route {
	return route{id: w.name("always"), path: "/always", action: toCluster, clusters: []string{pick(w.r, w.clusters)}}
}

func (w *world) newRoute() route {
	r := route{id: w.name("r"), exact: w.r.Intn(3) == 0, action: action(w.r.Intn(4)), retries: w.r.Intn(3) == 0}
	r.path = "/" + r.id + "/"
	switch r.action {
	case toCluster:
		r.clusters = []string{pick(w.r, w.clusters)}
	case toWeighted:
		r.clusters = []string{pick(w.r, w.clusters), pick(w.r, w.clusters)}
	case direct:
		r.status = []uint32{200, 403, 404, 418, 503}[w.r.Intn(5)]
	}
	return r
}

func (w *world) changeRoutes() {
	t := w.tables[pick(w.r, w.tables)]
	host := pick(w.r, t.hosts)
	routes := t.hosts[host]
	fixed := 0
	if host == "always" {
		fixed = 1 // the first one stays
	}
	switch {
	case len(routes) > fixed && w.r.Intn(3) == 0:
		i := fixed + w.r.Intn(len(routes)-fixed)
		t.hosts[host] = append(append([]route{}, routes[:i]...), routes[i+1:]...)
	case len(routes) < maxRoutes:
		t.hosts[host] = append(append([]route{}, routes...), w.newRoute())
	}
	if len(t.hosts) < 4 && w.r.Intn(4) == 0 {
		t.hosts[w.name("host")] = []route{w.newRoute()}
	}
}

func (w *world) moveAlways() {
	w.tables["always"].hosts["always"][0] = w.alwaysRoute()
}

func (w *world) addSecret(name string) {
	w.serial++
	w.secrets[name] = makePair(w.serial)
}

func (w *world) addListener() {
	if len(w.listeners) >= maxListeners || len(w.ports) == 0 {
		return
	}
	w.putListener(w.takePort())
}

func (w *world) putListener(port uint32) {
	l := &listener{port: port, inline: w.r.Intn(3) == 0}
	if w.r.Intn(3) == 0 {
		l.table = pick(w.r, w.tables)
	} else {
		l.table = w.name("t")
		w.tables[l.table] = &table{map[string][]route{"*": {w.newRoute()}}}
	}
	if w.r.Intn(2) == 0 {
		l.secret = w.name("s")
		w.addSecret(l.secret)
	}
	w.listeners[w.name("l")] = l
}

func (w *world) other() string {
	var names []string
	for _, name := range keys(w.listeners) {
		if name != "always" && name != "always-tls" {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return ""
	}
	return names[w.r.Intn(len(names))]
}

func (w *world) changeListener() {
	l := w.listeners[pick(w.r, w.listeners)]
	switch w.r.Intn(4) {
	case 3:
		l.filter = w.r.Intn(4)
	case 0:
		l.stat++
	case 1:
		l.logs = !l.logs
	case 2:
		l.inline = !l.inline
	}
}

func (w *world) removeListener() {
	if name := w.other(); name != "" {
		w.ports = append(w.ports, w.listeners[name].port)
		delete(w.listeners, name)
	}
}

// replaceListener gives an address to a listener of another name at once.
func (w *world) replaceListener() {
	if name := w.other(); name != "" {
		port := w.listeners[name].port
		delete(w.listeners, name)
		w.putListener(port)
	}
}

func (w *world) rotate() {
	w.addSecret(pick(w.r, w.secrets))
}

// sweep drops tables and secrets that no listener has any more.
func (w *world) sweep() {
	used := map[string]bool{}
	for _, l := range w.listeners {
		used["t:"+l.table] = true
		used["s:"+l.secret] = true
	}
	for _, t := range keys(w.tables) {
		if !used["t:"+t] {
			delete(w.tables, t)
		}
	}
	for _, s := range keys(w.secrets) {
		if !used["s:"+s] {
			delete(w.secrets, s)
		}
	}
}

// change does one to five things at once.
func (w *world) change() (done []string) {
	steps := []struct {
		word string
		fn   func()
	}{{"+cluster", w.addCluster}, {"~cluster", w.changeCluster}, {"-cluster", w.removeCluster}, {"~endpoints", w.changeEndpoints}, {"~routes", w.changeRoutes},
		{"~always", w.moveAlways}, {"+listener", w.addListener}, {"~listener", w.changeListener}, {"-listener", w.removeListener},
		{"=listener", w.replaceListener}, {"~secret", w.rotate}}
	for n := 1 + w.r.Intn(5); n > 0; n-- {
		s := steps[w.r.Intn(len(steps))]
		s.fn()
		done = append(done, s.word)
	}
	w.sweep()
	return done
}
