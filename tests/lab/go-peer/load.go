package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"syscall"
	"time"
)

// load keeps a number of connections busy: one request on each at any time.
func load(arguments []string) error {
	m := newMember("load")
	m.flags.StringVar(&m.upstream, "upstream", "", "the service it calls")
	connections := m.flags.Int("connections", 32, "how many requests are under way at a time")
	seconds := m.flags.Float64("seconds", 5, "how long")
	path := m.flags.String("path", "/kilobyte", "what is asked for")
	if err := m.parse(arguments, "http", "dial"); err != nil {
		return err
	}
	if err := m.join(nil); err != nil {
		return err
	}
	client := m.sdk.HTTPClient()
	if m.mode == "dial" {
		// HTTP/1.1 over connections of the SDK's Dial.
		client = &http.Client{Transport: &http.Transport{
			DialTLSContext: func(limit context.Context, _, _ string) (net.Conn, error) {
				return m.sdk.Dial(limit, m.resolver())
			},
			MaxIdleConnsPerHost: *connections,
		}}
	} else if transport, ok := client.Transport.(*http.Transport); ok {
		transport.MaxIdleConnsPerHost = *connections
	}
	url := "https://" + m.upstream + ".service.consul" + *path

	var lock sync.Mutex
	var latencies []time.Duration
	failures := map[string]int{}
	var workers sync.WaitGroup
	before, began := cpu(), time.Now()
	end := began.Add(time.Duration(*seconds * float64(time.Second)))
	for range *connections {
		workers.Go(func() {
			var mine []time.Duration
			for time.Now().Before(end) {
				start := time.Now()
				if err := get(client, url); err != nil {
					lock.Lock()
					failures[err.Error()]++
					lock.Unlock()
					continue
				}
				mine = append(mine, time.Since(start))
			}
			lock.Lock()
			latencies = append(latencies, mine...)
			lock.Unlock()
		})
	}
	workers.Wait()
	elapsed := time.Since(began)
	used := cpu() - before
	slices.Sort(latencies)
	at := func(share float64) float64 {
		if len(latencies) == 0 {
			return 0
		}
		return float64(latencies[int(share*float64(len(latencies)-1))].Nanoseconds()) / 1000
	}
	say(map[string]any{
		"event": "load", "ok": len(latencies), "failed": failures, "seconds": elapsed.Seconds(),
		"p50_micros": at(0.5), "p99_micros": at(0.99), "cpu_micros": used.Microseconds(),
	})
	return nil
}

func get(client *http.Client, url string) error {
	response, err := client.Get(url)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return errStatus(response.Status)
	}
	return nil
}

type errStatus string

func (e errStatus) Error() string { return string(e) }

// What this process has used so far, user and system.
func cpu() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
