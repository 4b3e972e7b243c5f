// A peer of the mesh on Consul's Go Connect SDK: a test tool, never part of a crate.
//
// It says what happens as lines of JSON on standard output, so that a test can drive it and read every request's fate;
// the SDK's own log goes to standard error. The agent comes from CONSUL_HTTP_ADDR and CONSUL_HTTP_TOKEN.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/consul/api"
	"github.com/hashicorp/consul/connect"
)

const usage = `usage:
  go-peer version
  go-peer serve --service NAME [--listen ADDRESS] [--mode http|tcp] [--alpn LIST]
  go-peer dial  --service NAME --upstream NAME [--mode http|tcp]
  go-peer load  --service NAME --upstream NAME [--mode http|dial] [--connections N] [--seconds S] [--path PATH]

serve answers until it is stopped: http says who called, tcp echoes.
dial reads orders from standard input, one JSON object a line, and answers each with one line:
  http  {"id": 1, "method": "GET", "path": "/", "body": "", "fresh": false}
  tcp   {"id": 1, "text": "hello", "fresh": false}
"fresh" opens a new connection first. It ends with its input.
load sends GET requests as fast as they are answered, and says in one line what became of them.`

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, usage)
		os.Exit(2)
	}
	var err error
	switch arguments := os.Args[2:]; os.Args[1] {
	case "version":
		version()
	case "serve":
		err = serve(arguments)
	case "dial":
		err = dial(arguments)
	case "load":
		err = load(arguments)
	default:
		fmt.Fprintln(os.Stderr, usage)
		os.Exit(2)
	}
	if err != nil {
		say(map[string]any{"event": "failed", "error": err.Error()})
		os.Exit(1)
	}
}

// The SDK is part of Consul's module: its version is Consul's.
func version() {
	number := "unknown"
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, module := range info.Deps {
			if module.Path == "github.com/hashicorp/consul" {
				number = strings.TrimPrefix(module.Version, "v")
			}
		}
	}
	fmt.Println("Go Connect SDK " + number)
}

// What every subcommand needs to be a member of the mesh.
type member struct {
	flags    *flag.FlagSet
	service  string
	upstream string
	mode     string
	consul   *api.Client
	sdk      *connect.Service
}

func newMember(command string) *member {
	m := &member{flags: flag.NewFlagSet(command, flag.ExitOnError)}
	m.flags.StringVar(&m.service, "service", "", "the service it is")
	m.flags.StringVar(&m.mode, "mode", "http", "what is spoken")
	return m
}

func (m *member) parse(arguments []string, modes ...string) error {
	if err := m.flags.Parse(arguments); err != nil {
		return err
	}
	if m.service == "" {
		return errors.New("--service is missing")
	}
	if m.flags.Lookup("upstream") != nil && m.upstream == "" {
		return errors.New("--upstream is missing")
	}
	for _, mode := range modes {
		if m.mode == mode {
			return nil
		}
	}
	return fmt.Errorf("--mode is one of %s", strings.Join(modes, ", "))
}

// join returns when the SDK has its leaf and roots.
func (m *member) join(alpn []string) error {
	consul, err := api.NewClient(api.DefaultConfig())
	if err != nil {
		return err
	}
	m.consul = consul
	m.sdk, err = connect.NewServiceWithConfig(m.service, connect.Config{Client: consul, ServerNextProtos: alpn})
	if err != nil {
		return err
	}
	if wait := m.sdk.ReadyWait(); wait != nil {
		select {
		case <-wait:
		case <-time.After(time.Minute):
			return errors.New("no leaf and roots within a minute")
		}
	}
	return nil
}

func (m *member) resolver() connect.Resolver {
	return &connect.ConsulResolver{Client: m.consul, Name: m.upstream}
}

func (m *member) limit() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), 30*time.Second)
}

var output sync.Mutex

// say writes one line; lines of different goroutines do not mix.
func say(line map[string]any) {
	text, err := json.Marshal(line)
	if err != nil {
		text = []byte(`{"event":"failed","error":"a line could not be written as JSON"}`)
	}
	output.Lock()
	defer output.Unlock()
	if _, err := os.Stdout.Write(append(text, '\n')); err != nil {
		// Nobody reads any more.
		os.Exit(1)
	}
}
