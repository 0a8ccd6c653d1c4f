package main

import (
	"fmt"
	"net"
	"strings"
	"time"
)

func (w *world) allowed(r route) map[string]bool {
	allowed := map[string]bool{}
	for _, name := range r.clusters {
		for _, i := range w.clusters[name].backends {
			allowed[w.backends[i].name] = true
		}
	}
	return allowed
}

// checkRoute says what is wrong with an answer; "": nothing.
func (w *world) checkRoute(r route, a answer) string {
	switch r.action {
	case direct:
		if a.status != int(r.status) || a.body != r.id {
			return fmt.Sprintf("expected %d %s", r.status, r.id)
		}
	case redirect:
		if a.status != 301 || !strings.HasSuffix(a.location, "/"+r.id) {
			return "expected a redirect to /" + r.id
		}
	default:
		name, id, _ := strings.Cut(a.body, " ")
		if a.status != 200 || id != r.id || !w.allowed(r)[name] {
			return fmt.Sprintf("expected 200 by %s of %v", r.id, w.allowed(r))
		}
	}
	return ""
}

func (w *world) checkListener(name string) string {
	l := w.listeners[name]
	if l.secret != "" {
		serial, err := servedSerial(l.port)
		if err != nil {
			return fmt.Sprintf("listener %s: %v", name, err)
		}
		if serial != w.secrets[l.secret].serial {
			return fmt.Sprintf("listener %s: certificate %s, expected %s", name, serial, w.secrets[l.secret].serial)
		}
	}
	c, err := dial(l.port, l.secret != "")
	if err != nil {
		return fmt.Sprintf("listener %s: %v", name, err)
	}
	defer c.conn.Close()
	for _, host := range keys(w.tables[l.table].hosts) {
		asked := host
		if host == "*" {
			asked = "any"
		}
		for _, r := range w.tables[l.table].hosts[host] {
			a, err := c.ask(asked, r.path)
			if err != nil {
				return fmt.Sprintf("listener %s, host %s, path %s: %v", name, host, r.path, err)
			}
			if wrong := w.checkRoute(r, a); wrong != "" {
				return fmt.Sprintf("listener %s, host %s, path %s: %d %q %s: %s", name, host, r.path, a.status, a.body, a.location, wrong)
			}
		}
	}
	return ""
}

func (w *world) mismatch() string {
	for _, name := range keys(w.listeners) {
		if wrong := w.checkListener(name); wrong != "" {
			return wrong
		}
	}
	for _, port := range w.ports {
		if conn, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", port), time.Second); err == nil {
			conn.Close()
			return fmt.Sprintf("port %d of a listener that was removed is still open", port)
		}
	}
	return ""
}

// eventually waits until fn has no complaint; the last one is the answer.
func eventually(limit time.Duration, fn func() string) (string, time.Duration) {
	begin := time.Now()
	for {
		wrong := fn()
		if wrong == "" || time.Since(begin) > limit {
			return wrong, time.Since(begin)
		}
		time.Sleep(2 * time.Millisecond)
	}
}
