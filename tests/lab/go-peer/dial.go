package main

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

// What a test asks for, in one line.
type order struct {
	ID     int    `json:"id"`
	Method string `json:"method"`
	Path   string `json:"path"`
	Body   string `json:"body"`
	Text   string `json:"text"`
	Fresh  bool   `json:"fresh"`
}

func dial(arguments []string) error {
	m := newMember("dial")
	m.flags.StringVar(&m.upstream, "upstream", "", "the service it calls")
	if err := m.parse(arguments, "http", "tcp"); err != nil {
		return err
	}
	if err := m.join(nil); err != nil {
		return err
	}
	say(map[string]any{"event": "ready"})
	caller := &dialler{member: m}
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		var asked order
		if err := json.Unmarshal(lines.Bytes(), &asked); err != nil {
			return fmt.Errorf("reading an order: %w", err)
		}
		began := time.Now()
		fate := map[string]any{}
		var err error
		if m.mode == "tcp" {
			err = caller.bytes(asked, fate)
		} else {
			err = caller.request(asked, fate)
		}
		fate["event"], fate["id"], fate["ok"] = "fate", asked.ID, err == nil
		fate["millis"] = float64(time.Since(began).Microseconds()) / 1000
		if err != nil {
			fate["error"] = err.Error()
		}
		say(fate)
	}
	return lines.Err()
}

type dialler struct {
	*member
	client     *http.Client
	connection net.Conn
}

// request goes through the SDK's own HTTP client: its resolver, its pool, its ALPN.
func (d *dialler) request(asked order, fate map[string]any) error {
	if d.client == nil || asked.Fresh {
		if d.client != nil {
			d.client.CloseIdleConnections()
		}
		d.client = d.sdk.HTTPClient()
		d.client.Timeout = 30 * time.Second
	}
	method := asked.Method
	if method == "" {
		method = http.MethodGet
	}
	request, err := http.NewRequest(method, "https://"+d.upstream+".service.consul"+asked.Path, strings.NewReader(asked.Body))
	if err != nil {
		return err
	}
	response, err := d.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	fate["status"], fate["protocol"] = response.StatusCode, response.Proto
	body, err := io.ReadAll(response.Body)
	fate["body"] = string(body)
	return err
}

// bytes goes through the SDK's Dial, and expects an echo.
func (d *dialler) bytes(asked order, fate map[string]any) error {
	if d.connection != nil && asked.Fresh {
		d.connection.Close()
		d.connection = nil
	}
	if d.connection == nil {
		limit, cancel := d.limit()
		defer cancel()
		connection, err := d.sdk.Dial(limit, d.resolver())
		if err != nil {
			return err
		}
		d.connection = connection
	}
	if secured, ok := d.connection.(*tls.Conn); ok {
		state := secured.ConnectionState()
		fate["alpn"], fate["tls"], fate["peer"] = state.NegotiatedProtocol, tls.VersionName(state.Version), caller(&state)
	}
	answer := make([]byte, len(asked.Text))
	err := d.connection.SetDeadline(time.Now().Add(30 * time.Second))
	if err == nil {
		_, err = io.WriteString(d.connection, asked.Text)
	}
	if err == nil {
		_, err = io.ReadFull(d.connection, answer)
	}
	if err != nil {
		d.connection.Close()
		d.connection = nil
		return err
	}
	fate["body"] = string(answer)
	return nil
}
