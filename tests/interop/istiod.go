package main

import (
	"crypto/tls"
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

//go:embed istiod.yaml
var istiodConfig string

// istio is a real istiod with its configuration in a folder, and a proxy beside it.
type istio struct {
	o                      *options
	istiod                 *exec.Cmd
	backends               []backend
	grpc, monitoring, http uint32
	gateway                map[string]uint32
	pass                   uint32
	wrong                  int
}

func (s *istio) complain(format string, args ...any) {
	fmt.Printf("WRONG: "+format+"\n", args...)
	s.wrong++
}

func (s *istio) write(w1, w2 int) {
	text := strings.NewReplacer("$B0", fmt.Sprint(s.backends[0].port), "$B1", fmt.Sprint(s.backends[1].port), "$HTTP", fmt.Sprint(s.gateway["http"]),
		"$TCP", fmt.Sprint(s.gateway["tcp"]), "$TLS", fmt.Sprint(s.gateway["tls"]), "$PASS", fmt.Sprint(s.pass), "$W1", fmt.Sprint(w1), "$W2", fmt.Sprint(w2)).Replace(istiodConfig)
	file := filepath.Join(s.o.dir, "config", "all.yaml")
	must(os.WriteFile(file+".new", []byte(text), 0o600))
	must(os.Rename(file+".new", file))
}

func (s *istio) start(program string) {
	must(os.MkdirAll(filepath.Join(s.o.dir, "config"), 0o700))
	s.write(50, 50)
	kubeconfig := filepath.Join(s.o.dir, "kubeconfig")
	must(os.WriteFile(kubeconfig, []byte(startKubernetes()), 0o600))
	mesh := filepath.Join(s.o.dir, "mesh.yaml")
	must(os.WriteFile(mesh, []byte("enableAutoMtls: false\nenablePrometheusMerge: false\n"), 0o600))
	local := func(port uint32) string { return fmt.Sprintf("127.0.0.1:%d", port) }
	s.istiod = exec.Command(program, "discovery", "--registries=Kubernetes", "--kubeconfig", kubeconfig, "--configDir", filepath.Join(s.o.dir, "config"), "--meshConfig", mesh,
		"--grpcAddr", local(s.grpc), "--httpAddr", local(s.http), "--monitoringAddr", local(s.monitoring), "--httpsAddr", "", "--secureGRPCAddr", "", "--ctrlz_port", "0")
	// What only Istio's own build of Envoy knows is left out, as it must be for a stock Envoy.
	s.istiod.Env = append(os.Environ(), "INJECT_ENABLED=false", "ENABLE_CA_SERVER=false", "POD_NAMESPACE=istio-system", "POD_NAME=istiod", "PILOT_ENABLE_METADATA_EXCHANGE=false",
		"PILOT_ENABLE_ALPN_FILTER=false", "VALIDATION_WEBHOOK_CONFIG_NAME=", "INJECTION_WEBHOOK_CONFIG_NAME=")
	log, err := os.Create(filepath.Join(s.o.dir, "istiod.log"))
	must(err)
	s.istiod.Stdout, s.istiod.Stderr = log, log
	must(s.istiod.Start())
	if wrong, _ := eventually(60*time.Second, func() string {
		conn, err := net.Dial("tcp", local(s.grpc))
		if err != nil {
			return err.Error()
		}
		return map[bool]string{true: "", false: "not closed"}[conn.Close() == nil]
	}); wrong != "" {
		must(fmt.Errorf("istiod does not listen: %s (%s)", wrong, log.Name()))
	}
}

// proxyOf runs a proxy with a sidecar's or a router's node.
func (s *istio) proxyOf(kind, ip string, labels map[string]string, interception string) *exec.Cmd {
	metadata, err := json.Marshal(map[string]any{"NAMESPACE": "default", "CLUSTER_ID": "Kubernetes", "ISTIO_VERSION": "1.31.0", "INSTANCE_IPS": ip, "LABELS": labels,
		"WORKLOAD_NAME": kind, "SERVICE_ACCOUNT": "default", "INTERCEPTION_MODE": interception, "MESH_ID": "cluster.local"})
	must(err)
	api := map[bool]string{true: "DELTA_GRPC", false: "GRPC"}[s.o.delta]
	node := fmt.Sprintf("node: {id: \"%s~%s~%s.default~default.svc.cluster.local\", cluster: %s.default, metadata: %s}", kind, ip, kind, kind, metadata)
	text := strings.Replace(fmt.Sprintf(bootstrap, api, s.grpc), "node: {id: interop, cluster: interop}", node, 1)
	file := filepath.Join(s.o.dir, kind+".yaml")
	must(os.WriteFile(file, []byte(text), 0o600))
	return s.o.run(file, kind+".log")
}

type syncState struct {
	Proxy     string `json:"proxy"`
	Resources map[string]struct {
		Sent      string `json:"sent"`
		Acked     string `json:"acked"`
		LastError string `json:"lastError"`
	} `json:"resources"`
}

// unsynced says which type is not acknowledged, by istiod's own word.
func (s *istio) unsynced(proxy string, types int) string {
	r, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/debug/syncz", s.monitoring))
	if err != nil {
		return err.Error()
	}
	defer r.Body.Close()
	body, _ := io.ReadAll(r.Body)
	var all []syncState
	if err := json.Unmarshal(body, &all); err != nil {
		return err.Error()
	}
	for _, p := range all {
		if p.Proxy != proxy {
			continue
		}
		acked := 0
		for kind, state := range p.Resources {
			if state.LastError != "" {
				return kind + " refused: " + state.LastError
			}
			if state.Sent != "" && state.Sent == state.Acked {
				acked++
			}
		}
		if acked < types {
			return fmt.Sprintf("%d types of %d are acknowledged", acked, types)
		}
		return ""
	}
	return proxy + " is not connected"
}

func fetch(port uint32, path string, fields ...string) (int, http.Header, string) {
	q, err := http.NewRequest("GET", fmt.Sprintf("http://127.0.0.1:%d%s", port, path), nil)
	must(err)
	for i := 0; i+1 < len(fields); i += 2 {
		q.Header.Set(fields[i], fields[i+1])
	}
	r, err := http.DefaultTransport.RoundTrip(q)
	if err != nil {
		return 0, nil, err.Error()
	}
	defer r.Body.Close()
	body, _ := io.ReadAll(r.Body)
	return r.StatusCode, r.Header, string(body)
}

// routing compares what the gateway does with the VirtualService.
func (s *istio) routing() string {
	b0, b1 := s.backends[0].name, s.backends[1].name
	port := s.gateway["http"]
	expect := func(what string, ok bool, got ...any) string {
		if ok {
			return ""
		}
		return fmt.Sprint(what, ": ", got)
	}
	status, head, body := fetch(port, "/v1/x")
	all := []string{expect("/v1/", status == 200 && body == b0+" v1" && head.Get("x-from") == "istio", status, body, head)}
	status, _, body = fetch(port, "/z?q=abc", "x-two", "yes")
	all = append(all, expect("header and query", status == 200 && body == b1+" ", status, body))
	status, head, _ = fetch(port, "/old")
	all = append(all, expect("redirect", status == 301 && head.Get("location") == "http://else.example/new", status, head))
	status, _, body = fetch(port, "/teapot/x")
	all = append(all, expect("direct response", status == 418 && body == "short and stout", status, body))
	status, _, _ = fetch(port, "/abort")
	all = append(all, expect("fault", status == 555, status))
	status, head, _ = fetch(port, "/cors", "origin", "https://x.example")
	all = append(all, expect("CORS", status == 200 && head.Get("access-control-allow-origin") == "https://x.example", status, head))
	status, _, body = fetch(port, "/a/../v1/%78")
	all = append(all, expect("normal path", status == 200 && body == b0+" v1", status, body))
	status, _, body = fetch(s.gateway["tcp"], "/")
	all = append(all, expect("TCP", status == 200, status, body))
	conn, err := tls.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", s.gateway["tls"]), &tls.Config{InsecureSkipVerify: true, ServerName: "pass.example"})
	if err == nil {
		conn.Close()
	}
	all = append(all, expect("TLS passed through", err == nil, err))
	for _, wrong := range all {
		if wrong != "" {
			return wrong
		}
	}
	return ""
}

// shares asks the catch-all route: who answers of 200.
func (s *istio) shares() (first, second, failed int) {
	for i := 0; i < 200; i++ {
		status, _, body := fetch(s.gateway["http"], "/")
		switch {
		case status != 200:
			failed++
		case strings.HasPrefix(body, s.backends[0].name):
			first++
		default:
			second++
		}
	}
	return
}

func startTLS() uint32 {
	p := makePair(1)
	cert, err := tls.X509KeyPair(p.cert, p.key)
	must(err)
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}})
	must(err)
	go func() { _ = http.Serve(l, http.NotFoundHandler()) }()
	return uint32(l.Addr().(*net.TCPAddr).Port)
}

func stop(cmd *exec.Cmd) {
	_ = cmd.Process.Signal(syscall.SIGTERM)
	timer := time.AfterFunc(20*time.Second, func() { _ = cmd.Process.Kill() })
	_ = cmd.Wait()
	timer.Stop()
}

// driveByIstiod runs a gateway, which must be right, and a sidecar, whose refusals are told.
func driveByIstiod(o *options, program string) bool {
	ports := freePorts(6)
	s := &istio{o: o, backends: startBackends(2), grpc: ports[0], monitoring: ports[1], http: ports[2],
		gateway: map[string]uint32{"http": ports[3], "tcp": ports[4], "tls": ports[5]}, pass: startTLS()}
	s.start(program)
	defer stop(s.istiod)
	gateway := s.proxyOf("router", "127.0.0.9", map[string]string{"istio": "ingressgateway"}, "NONE")
	defer stop(gateway)
	if wrong, _ := eventually(20*time.Second, s.routing); wrong != "" {
		s.complain("gateway: %s", wrong)
	}
	if wrong, _ := eventually(10*time.Second, func() string { return s.unsynced("router.default", 4) }); wrong != "" {
		s.complain("gateway: %s", wrong)
	}
	first, second, failed := s.shares()
	if failed > 0 || first < 60 || second < 60 {
		s.complain("gateway: %d : %d of 50 : 50, %d failed", first, second, failed)
	}
	s.write(100, 0)
	var lost int
	wrong, took := eventually(20*time.Second, func() string {
		first, second, failed := s.shares()
		lost += failed
		return map[bool]string{true: "", false: fmt.Sprintf("%d : %d of 100 : 0", first, second)}[second == 0 && first > 0]
	})
	if wrong != "" || lost > 0 {
		s.complain("gateway: a changed weight: %s, %d failed", wrong, lost)
	}
	fmt.Printf("istiod, gateway: every type acknowledged, routing as configured, a change in force after %v\n", took.Round(10*time.Millisecond))
	sidecar := s.proxyOf("sidecar", "127.0.0.10", map[string]string{"app": "app"}, "NONE")
	defer stop(sidecar)
	if wrong, _ := eventually(10*time.Second, func() string { return s.unsynced("sidecar.default", 3) }); wrong != "" {
		fmt.Println("istiod, sidecar (told, fails nothing):", wrong)
	}
	return s.wrong == 0
}
