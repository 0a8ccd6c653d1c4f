package main

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

const askTimeout = 10 * time.Second

// client is one raw connection: nothing is tried again behind our back, as net/http's transport would.
type client struct {
	conn   net.Conn
	reader *bufio.Reader
}

func dial(port uint32, withTLS bool) (*client, error) {
	conn, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", port), askTimeout)
	if err != nil {
		return nil, err
	}
	if withTLS {
		session := tls.Client(conn, &tls.Config{InsecureSkipVerify: true, ServerName: "interop"}) //nolint: what is served is looked at, not trusted
		_ = conn.SetDeadline(time.Now().Add(askTimeout))
		if err := session.Handshake(); err != nil {
			conn.Close()
			return nil, err
		}
		conn = session
	}
	return &client{conn, bufio.NewReader(conn)}, nil
}

type answer struct {
	status   int
	body     string
	location string
	closes   bool
}

func (c *client) ask(host, path string) (answer, error) {
	_ = c.conn.SetDeadline(time.Now().Add(askTimeout))
	if _, err := fmt.Fprintf(c.conn, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", path, host); err != nil {
		return answer{}, err
	}
	r, err := http.ReadResponse(c.reader, nil)
	if err != nil {
		return answer{}, err
	}
	body, err := io.ReadAll(r.Body)
	r.Body.Close()
	return answer{r.StatusCode, string(body), r.Header.Get("location"), r.Close}, err
}

func askOnce(port uint32, withTLS bool, host, path string) (answer, error) {
	c, err := dial(port, withTLS)
	if err != nil {
		return answer{}, err
	}
	defer c.conn.Close()
	return c.ask(host, path)
}

// servedSerial is the serial number of the certificate that a listener has.
func servedSerial(port uint32) (string, error) {
	c, err := dial(port, true)
	if err != nil {
		return "", err
	}
	defer c.conn.Close()
	return c.conn.(*tls.Conn).ConnectionState().PeerCertificates[0].SerialNumber.String(), nil
}

// load asks for what must always work, until it is stopped: on a connection that is kept, or on a new one each time.
type load struct {
	asked, failed atomic.Int64
	mu            sync.Mutex
	examples      []string
	over          chan struct{}
	wait          sync.WaitGroup
}

func (l *load) fail(what string) {
	l.failed.Add(1)
	l.mu.Lock()
	if len(l.examples) < 20 {
		l.examples = append(l.examples, time.Now().Format("15:04:05.000 ")+what)
	}
	l.mu.Unlock()
}

func (l *load) run(name string, port uint32, withTLS, keep bool) {
	l.wait.Add(1)
	go func() {
		defer l.wait.Done()
		var c *client
		for {
			select {
			case <-l.over:
				return
			case <-time.After(time.Millisecond):
			}
			if c == nil {
				var err error
				if c, err = dial(port, withTLS); err != nil {
					l.asked.Add(1)
					l.fail(name + ": " + err.Error())
					continue
				}
			}
			a, err := c.ask("always", "/always")
			l.asked.Add(1)
			if err != nil {
				l.fail(name + ": " + err.Error())
			} else if a.status != 200 {
				l.fail(fmt.Sprintf("%s: %d %s", name, a.status, a.body))
			}
			if err != nil || !keep || a.closes {
				c.conn.Close()
				c = nil
			}
		}
	}()
}

func (l *load) stop() {
	close(l.over)
	l.wait.Wait()
}
