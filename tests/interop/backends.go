package main

import (
	"fmt"
	"net"
	"net/http"
)

// backend answers "NAME ROUTE": its own name, and what the route has put into the request.
type backend struct {
	name string
	port uint32
}

func startBackends(n int) []backend {
	var all []backend
	for i := 0; i < n; i++ {
		name := fmt.Sprintf("b%d", i)
		l, err := net.Listen("tcp", "127.0.0.1:0")
		must(err)
		server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, "%s %s", name, r.Header.Get("x-route"))
		})}
		go func() { _ = server.Serve(l) }()
		all = append(all, backend{name, uint32(l.Addr().(*net.TCPAddr).Port)})
	}
	return all
}

// freePorts are free now; nobody else here takes ports that were just free.
func freePorts(n int) []uint32 {
	var ports []uint32
	for i := 0; i < n; i++ {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		must(err)
		defer l.Close()
		ports = append(ports, uint32(l.Addr().(*net.TCPAddr).Port))
	}
	return ports
}
