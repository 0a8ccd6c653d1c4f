// validate is a client of a control plane that takes everything: each resource is read with go-control-plane's types, as is all that it holds packed, and must
// pass ValidateAll without a field that those types do not know. It acknowledges what does, and refuses what does not. Its last line is JSON.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"time"
)

type result struct {
	Mode      string              `json:"mode"`
	Responses int                 `json:"responses"`
	Seen      map[string]int      `json:"seen"`     // resources, by type; what changed counts again
	Messages  map[string]int      `json:"messages"` // what they hold packed, by type
	Names     map[string][]string `json:"names"`    // held at the end, by type
	Wrong     []string            `json:"wrong"`
}

func main() {
	address := flag.String("address", "127.0.0.1:15010", "of the control plane")
	mode := flag.String("mode", "delta", "delta or sotw")
	id := flag.String("node", "router~127.0.0.1~validate.default~default.svc.cluster.local", "who we say we are")
	follow := flag.Bool("follow", false, "go on until standard input ends; else until everything that something names has come")
	generator := flag.String("generator", "", "what we ask for by the node's metadata: grpc, or nothing for what a gateway has")
	limit := flag.Duration("limit", 30*time.Second, "how long everything may take to come")
	flag.Parse()
	over := make(chan struct{})
	if *follow {
		go func() { _, _ = io.Copy(io.Discard, os.Stdin); close(over) }()
	}
	c, err := dial(*address, *mode == "delta", *id, *generator)
	if err == nil {
		err = c.run(*follow, over, *limit)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "validate:", err)
		os.Exit(1)
	}
	text, _ := json.Marshal(c.result())
	fmt.Println(string(text))
	if len(c.wrong) > 0 {
		os.Exit(2)
	}
}
