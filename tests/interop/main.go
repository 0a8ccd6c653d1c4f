// interop drives a proxy with go-control-plane's server: snapshot after snapshot of random valid changes, under traffic that must never fail.
package main

import (
	"flag"
	"fmt"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/envoyproxy/go-control-plane/pkg/cache/v3"
)

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "interop:", err)
		os.Exit(1)
	}
}

type options struct {
	proxy     string
	envoy     bool
	delta     bool
	snapshots int
	every     int // snapshots between two checks
	restart   int // snapshots between two deaths of the control plane; 0: it lives
	spoilt    int // one snapshot in so many has something that must be refused
	seed      int64
	workers   int
	dir       string
	verbose   bool
}

const bootstrap = `
node: {id: interop, cluster: interop}
dynamic_resources:
  ads_config: {api_type: %s, transport_api_version: V3, grpc_services: [{envoy_grpc: {cluster_name: control}}]}
  cds_config: {ads: {}, resource_api_version: V3}
  lds_config: {ads: {}, resource_api_version: V3}
static_resources:
  clusters:
  - name: control
    type: STATIC
    connect_timeout: 1s
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {http2_protocol_options: {}}
    load_assignment:
      cluster_name: control
      endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: %d}}}}]}]
`

func startProxy(o *options, port uint32) *exec.Cmd {
	api := "GRPC"
	if o.delta {
		api = "DELTA_GRPC"
	}
	file := filepath.Join(o.dir, "bootstrap.yaml")
	must(os.WriteFile(file, []byte(fmt.Sprintf(bootstrap, api, port)), 0o600))
	return o.run(file, "proxy.log")
}

func (o *options) state() string { return filepath.Join(o.dir, "state") }

func (o *options) run(file, name string) *exec.Cmd {
	log, err := os.OpenFile(filepath.Join(o.dir, name), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	must(err)
	args := []string{"-c", file, "--concurrency", fmt.Sprint(o.workers)}
	if !o.envoy {
		args = append(args, "--state-dir", o.state())
	} else {
		args = append(args, "--log-level", "warning", "--use-dynamic-base-id", "--drain-time-s", "2")
	}
	cmd := exec.Command(o.proxy, args...)
	cmd.Stdout, cmd.Stderr = log, log
	must(cmd.Start())
	return cmd
}

func rssKiB(pid int) int {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	for _, line := range strings.Split(string(text), "\n") {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			n, _ := strconv.Atoi(strings.Fields(rest)[0])
			return n
		}
	}
	return 0
}

type run struct {
	o       *options
	w       *world
	c       *control
	proxy   *exec.Cmd
	exited  chan error
	load    *load
	wrong   []string
	refused int
	slowest time.Duration
}

func (r *run) complain(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	fmt.Println("WRONG:", text)
	r.wrong = append(r.wrong, text)
}

// checkNacks: nothing is refused but what was spoilt.
func (r *run) checkNacks(at int, bad map[string]bool) {
	for url, texts := range r.c.takeNacks() {
		if !bad[url] {
			r.complain("snapshot %d: %s refused: %s", at, url, texts[0])
		}
		r.refused += len(texts)
	}
}

func (r *run) waitForAnswers(at int) {
	limit := 20 * time.Second
	if r.o.envoy {
		limit = 2 * time.Second // it does not answer while a cluster warms
	}
	if wrong, _ := eventually(limit, func() string { return r.c.unanswered(r.o.delta) }); wrong != "" {
		r.complain("snapshot %d: %s", at, wrong)
	}
}

func (r *run) settle(at int) {
	r.waitForAnswers(at)
	wrong, took := eventually(10*time.Second, r.w.mismatch)
	if wrong != "" {
		r.complain("snapshot %d: %s", at, wrong)
	}
	r.slowest = max(r.slowest, took)
}

// pushSpoilt: what is bad is refused, all else of the snapshot is taken; the next one mends it.
func (r *run) pushSpoilt(at int) {
	all := r.w.resources()
	kind := r.w.spoil(all)
	url, err := cache.GetResponseTypeURL(kind)
	must(err)
	r.checkNacks(at, nil)
	r.c.push(all)
	wrong, _ := eventually(10*time.Second, func() string {
		r.c.mu.Lock()
		defer r.c.mu.Unlock()
		if len(r.c.nacks[url]) == 0 {
			return url + ": what is bad was not refused"
		}
		return ""
	})
	if wrong != "" {
		r.complain("snapshot %d: %s", at, wrong)
	}
	r.checkNacks(at, map[string]bool{url: true})
	r.c.push(r.w.resources())
	// the server sends what was refused again, at once, until the next snapshot is there
	r.waitForAnswers(at)
	r.checkNacks(at, map[string]bool{url: true})
}

func (r *run) alive() bool {
	select {
	case err := <-r.exited:
		r.complain("the proxy ended: %v", err)
		r.exited <- err
		return false
	default:
		return true
	}
}

// restart: the control plane dies, the world goes on, and it comes back.
func (r *run) restart(at int) {
	r.settle(at)
	before := r.c.die()
	r.w.change()
	r.w.change()
	r.c.serve()
	r.c.push(r.w.resources())
	if wrong, _ := eventually(40*time.Second, func() string {
		r.c.mu.Lock()
		defer r.c.mu.Unlock()
		if r.c.streams == before {
			return "the proxy does not come back"
		}
		return ""
	}); wrong != "" {
		r.complain("snapshot %d: %s", at, wrong)
	}
	r.settle(at)
}

func (r *run) snapshots() {
	early := 0 // KiB resident
	for i := 1; i <= r.o.snapshots && r.alive() && len(r.wrong) < 20; i++ {
		done := r.w.change()
		if r.o.verbose {
			fmt.Println(time.Now().Format("15:04:05.000"), i, done)
		}
		if r.o.spoilt > 0 && i%r.o.spoilt == 0 {
			r.pushSpoilt(i)
		} else {
			r.c.push(r.w.resources())
			time.Sleep(time.Duration(r.w.r.Intn(30)) * time.Millisecond) // some overtake the answers to those before
		}
		if r.o.restart > 0 && i%r.o.restart == 0 {
			r.restart(i)
		}
		if i%r.o.every == 0 {
			r.settle(i)
			r.checkNacks(i, nil)
		}
		if i%100 == 0 {
			now := rssKiB(r.proxy.Process.Pid)
			fmt.Printf("%d snapshots, %d requests, %d failed, %d KiB resident\n", i, r.load.asked.Load(), r.load.failed.Load(), now)
			if i == 200 {
				early = now
			}
			if early > 0 && now > early+early/4 && !r.o.envoy {
				r.complain("snapshot %d: %d KiB resident, %d at 200: it keeps what is gone", i, now, early)
			}
		}
	}
}

// alone: without a control plane, a proxy that was killed begins with all that it had.
func (r *run) alone() {
	pushed := time.Now()
	r.c.push(r.w.resources())
	r.settle(r.o.snapshots)
	if wrong, _ := eventually(20*time.Second, func() string {
		// nothing has changed since: it is written, or was before
		if time.Since(pushed) < 3*time.Second {
			return "not yet"
		}
		_, err := os.Stat(filepath.Join(r.o.state(), "last-good"))
		return map[bool]string{true: "", false: "nothing is kept"}[err == nil]
	}); wrong != "" {
		r.complain("%s", wrong)
		return
	}
	r.c.die()
	_ = r.proxy.Process.Kill()
	<-r.exited
	r.proxy = r.o.run(filepath.Join(r.o.dir, "bootstrap.yaml"), "proxy.log")
	go func() { r.exited <- r.proxy.Wait() }()
	wrong, took := eventually(10*time.Second, r.w.mismatch)
	if wrong != "" {
		r.complain("without a control plane: %s", wrong)
	}
	fmt.Printf("without a control plane all answers are right %v after the start\n", took.Round(time.Millisecond))
}

func (r *run) end() {
	r.load.stop()
	if !r.o.envoy && len(r.wrong) == 0 {
		r.alone()
	}
	if r.alive() {
		_ = r.proxy.Process.Signal(syscall.SIGTERM)
		select {
		case err := <-r.exited:
			if err != nil && !r.o.envoy {
				r.complain("the proxy's end: %v", err)
			}
		case <-time.After(40 * time.Second):
			_ = r.proxy.Process.Kill()
			r.complain("the proxy does not end")
		}
	}
	r.c.grpc.Stop()
	for _, text := range r.load.examples {
		fmt.Println("failed:", text)
	}
	total := 0
	for _, n := range r.c.acks {
		total += n
	}
	fmt.Printf("seed %d: %d requests, %d failed; %d responses acknowledged, %d refused as they should be; %d streams; slowest to be right %v; %d wrong\n", r.o.seed,
		r.load.asked.Load(), r.load.failed.Load(), total, r.refused, r.c.streams, r.slowest.Round(time.Millisecond), len(r.wrong))
}

func main() {
	o := &options{}
	var mode string
	flag.StringVar(&o.proxy, "proxy", "", "program")
	flag.BoolVar(&o.envoy, "envoy", false, "it is a stock Envoy")
	flag.StringVar(&mode, "mode", "delta", "delta or sotw")
	flag.IntVar(&o.snapshots, "snapshots", 1000, "how many")
	flag.IntVar(&o.every, "every", 5, "snapshots between two checks of all answers")
	flag.IntVar(&o.restart, "restart", 97, "snapshots between two deaths of the control plane; 0: it lives")
	flag.IntVar(&o.spoilt, "spoilt", 23, "one snapshot in so many has something bad; 0: none")
	flag.Int64Var(&o.seed, "seed", time.Now().UnixNano()%1e9, "of the changes")
	flag.IntVar(&o.workers, "workers", 2, "of the proxy")
	flag.StringVar(&o.dir, "dir", "", "for the proxy's files; default: a new one")
	flag.BoolVar(&o.verbose, "v", false, "say each change")
	istiod := flag.String("istiod", "", "pilot-discovery: it drives the proxy instead")
	flag.Parse()
	o.delta = mode == "delta"
	if o.dir == "" {
		dir, err := os.MkdirTemp("", "interop")
		must(err)
		o.dir = dir
	}
	if *istiod != "" {
		fmt.Printf("%s by istiod, %s, files in %s\n", o.proxy, mode, o.dir)
		if !driveByIstiod(o, *istiod) {
			os.Exit(1)
		}
		os.RemoveAll(o.dir)
		return
	}
	fmt.Printf("%s, %s, seed %d, files in %s\n", o.proxy, mode, o.seed, o.dir)
	r := &run{o: o, w: newWorld(rand.New(rand.NewSource(o.seed)), startBackends(6), freePorts(20), filepath.Join(o.dir, "access.log")), c: startControl(o.delta), exited: make(chan error, 2),
		load: &load{over: make(chan struct{})}}
	r.c.push(r.w.resources())
	r.proxy = startProxy(o, r.c.port)
	go func() { r.exited <- r.proxy.Wait() }()
	if wrong, _ := eventually(20*time.Second, r.w.mismatch); wrong != "" {
		r.complain("at the start: %s", wrong)
	} else {
		plain, secure := r.w.listeners["always"].port, r.w.listeners["always-tls"].port
		r.load.run("kept", plain, false, true)
		r.load.run("new", plain, false, false)
		r.load.run("kept tls", secure, true, true)
		r.load.run("new tls", secure, true, false)
		r.snapshots()
	}
	r.end()
	if len(r.wrong) > 0 || r.load.failed.Load() > 0 {
		fmt.Println("log:", filepath.Join(o.dir, "proxy.log"))
		os.Exit(1)
	}
	os.RemoveAll(o.dir)
}
