package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strings"

	"golang.org/x/net/http2"
)

func serve(arguments []string) error {
	m := newMember("serve")
	listen := m.flags.String("listen", "127.0.0.1:0", "where it listens")
	alpn := m.flags.String("alpn", "", "what is offered by ALPN, separated by commas, or none, in place of the SDK's default")
	if err := m.parse(arguments, "http", "tcp"); err != nil {
		return err
	}
	var protocols []string
	if *alpn == "none" {
		protocols = []string{}
	} else if *alpn != "" {
		protocols = strings.Split(*alpn, ",")
	}
	if err := m.join(protocols); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", *listen)
	if err != nil {
		return err
	}
	say(map[string]any{"event": "listening", "address": listener.Addr().String()})
	// Standard input is held by who started us: when that is gone, so are we.
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	if m.mode == "tcp" {
		return echo(listener, m.sdk.ServerTLSConfig())
	}
	server := &http.Server{
		Handler:   http.HandlerFunc(answer),
		TLSConfig: m.sdk.ServerTLSConfig(),
		ErrorLog:  log.New(refusals{}, "", 0),
	}
	if err := http2.ConfigureServer(server, nil); err != nil {
		return err
	}
	return server.Serve(tls.NewListener(listener, server.TLSConfig))
}

func answer(writer http.ResponseWriter, request *http.Request) {
	peer := caller(request.TLS)
	writer.Header().Set("content-type", "text/plain")
	read, err := io.Copy(io.Discard, request.Body)
	if err != nil {
		say(map[string]any{"event": "request", "path": request.URL.Path, "peer": peer, "error": err.Error()})
		return
	}
	if request.URL.Path == "/kilobyte" {
		// For loads, which measure the SDK and not what we say of it.
		_, _ = writer.Write(kilobyte)
		return
	}
	say(map[string]any{
		"event": "request", "method": request.Method, "path": request.URL.Path, "protocol": request.Proto,
		"peer": peer, "body": read,
	})
	_, _ = fmt.Fprintf(writer, "%s %s by %s over %s", request.Method, request.URL.Path, peer, request.Proto)
}

var kilobyte = []byte(strings.Repeat("x", 1024))

func echo(listener net.Listener, config *tls.Config) error {
	for {
		plain, err := listener.Accept()
		if err != nil {
			return err
		}
		go func() {
			connection := tls.Server(plain, config)
			defer connection.Close()
			if err := connection.Handshake(); err != nil {
				say(map[string]any{"event": "refused", "error": err.Error()})
				return
			}
			state := connection.ConnectionState()
			line := map[string]any{"event": "connection", "peer": caller(&state), "alpn": state.NegotiatedProtocol, "tls": tls.VersionName(state.Version)}
			say(line)
			count, err := io.Copy(connection, connection)
			end := map[string]any{"event": "closed", "peer": line["peer"], "bytes": count}
			if err != nil && !errors.Is(err, net.ErrClosed) {
				end["error"] = err.Error()
			}
			say(end)
		}()
	}
}

func caller(state *tls.ConnectionState) string {
	if state == nil || len(state.PeerCertificates) == 0 || len(state.PeerCertificates[0].URIs) == 0 {
		return ""
	}
	return state.PeerCertificates[0].URIs[0].String()
}

// What net/http logs is handshakes that failed, a refused caller's among them.
type refusals struct{}

func (refusals) Write(text []byte) (int, error) {
	say(map[string]any{"event": "refused", "error": strings.TrimSpace(string(text))})
	return len(text), nil
}
