// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package neverlost

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"safebeam.dev/safebeam/pkg/generated/clientset/versioned"
	"safebeam.dev/safebeam/test/harness"
)

// clientCommand is this program in the part of the client.
const clientCommand = "neverlost-client"

// The loads that the client can be.
const (
	turnLoad      = "turns"
	executionLoad = "executions"
)

// line is what the client writes down, one JSON object a line, before it does
// anything else.
type line struct {
	// Acknowledged is a turn or an execution that was answered 201, or 409 with
	// its own content after an answer that was lost. In is its conversation or
	// sandbox.
	Acknowledged string `json:"acknowledged,omitempty"`
	In           string `json:"in,omitempty"`

	// Of, Number, Type and Sum tell of an event that a reader saw.
	Of     string `json:"of,omitempty"`
	Number int64  `json:"number,omitempty"`
	Type   string `json:"type,omitempty"`
	Sum    string `json:"sum,omitempty"`
	From   int64  `json:"from,omitempty"`
	To     int64  `json:"to,omitempty"`
}

// record is all that the client wrote down.
type record struct {
	acknowledged map[string]string // what: in what
	seen         map[string][]line // of what: events, in the order in which they were read
}

// startClient runs the client until stop, which returns what it wrote down.
func startClient(t *testing.T, s *harness.Server, load string, parallel int) (stop func() record) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	written, err := os.CreateTemp(t.TempDir(), "acknowledged-")
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command(self, clientCommand, s.Kubeconfig, load, strconv.Itoa(parallel))
	command.Stdout, command.Stderr = written, os.Stderr
	input, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = command.Process.Kill() })
	return func() record {
		t.Helper()
		input.Close() // asks it to create no more, and to read to the end
		done := make(chan error, 1)
		go func() { done <- command.Wait() }()
		select {
		case err := <-done:
			if err != nil {
				t.Fatalf("the client failed: %v", err)
			}
		case <-time.After(3 * time.Minute):
			_ = command.Process.Kill()
			t.Errorf("%s that were acknowledged have not ended: the client still waits for them", load)
		}
		return readRecord(t, written.Name())
	}
}

func readRecord(t *testing.T, path string) record {
	t.Helper()
	data, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer data.Close()
	r := record{map[string]string{}, map[string][]line{}}
	for decoder := json.NewDecoder(data); ; {
		var l line
		if decoder.Decode(&l) != nil {
			break
		}
		if l.Acknowledged != "" {
			r.acknowledged[l.Acknowledged] = l.In
		} else {
			r.seen[l.Of] = append(r.seen[l.Of], l)
		}
	}
	if len(r.acknowledged) == 0 {
		t.Fatal("nothing was acknowledged: the test proves nothing")
	}
	return r
}

// client is the process that uses the server.
type client struct {
	api  versioned.Interface
	http *http.Client
	host string
	mu   sync.Mutex
}

func (c *client) note(l line) {
	data, err := json.Marshal(l)
	if err != nil {
		panic(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, err := os.Stdout.Write(append(data, '\n')); err != nil {
		panic(err)
	}
}

func clientMain(args []string) int {
	config, err := clientcmd.BuildConfigFromFlags("", args[0])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	config.QPS = -1
	load := map[string]func(*client, context.Context, int){turnLoad: (*client).converse, executionLoad: (*client).execute}[args[1]]
	parallel, _ := strconv.Atoi(args[2])
	c := &client{api: versioned.NewForConfigOrDie(config), host: config.Host}
	if c.http, err = rest.HTTPClientFor(config); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	ctx, stop := context.WithCancel(context.Background())
	go func() {
		_, _ = bufio.NewReader(os.Stdin).ReadByte()
		stop()
	}()
	var group sync.WaitGroup
	for i := range parallel {
		group.Go(func() { load(c, ctx, i) })
	}
	group.Wait()
	return 0
}

// insist repeats a request until it is answered, by whatever but the server's
// absence. False: ctx ended before.
func insist(ctx context.Context, request func(ctx context.Context) (answered bool)) bool {
	for {
		attempt, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		answered := request(attempt)
		cancel()
		if answered {
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// read follows the log of name, which is at path below /apis, to its terminal
// event, over as many connections as that takes, and writes every event down.
func (c *client) read(name, path string) {
	for after := int64(0); ; time.Sleep(20 * time.Millisecond) {
		response, err := c.http.Get(fmt.Sprintf("%s/apis/%s?follow=true&after=%d", c.host, path, after))
		if err != nil {
			continue
		}
		if response.StatusCode != http.StatusOK {
			response.Body.Close()
			if response.StatusCode == http.StatusGone || response.StatusCode == http.StatusNotFound {
				c.note(line{Of: name, Type: fmt.Sprintf("HTTP %d after %d", response.StatusCode, after)})
				return
			}
			continue
		}
		lines := bufio.NewScanner(response.Body)
		lines.Buffer(nil, 8<<20)
		for lines.Scan() {
			if len(lines.Bytes()) == 0 {
				continue
			}
			event, err := decode(lines.Bytes())
			if err != nil {
				break // the last line of a cut connection
			}
			c.note(line{Of: name, Number: event.Number, Type: event.Type, Sum: event.sum, From: event.LostFrom, To: event.LostTo})
			after = event.Number
			if terminal(event.Type) {
				response.Body.Close()
				return
			}
		}
		response.Body.Close()
	}
}

// event is what the events of turns and of executions have in common.
type event struct {
	Number           int64
	Type             string
	LostFrom, LostTo int64
	// sum is what an event is, but for the time at which the server learnt of it:
	// a chunk that is sent again keeps its number and arrives later.
	sum string
}

func decode(text []byte) (event, error) {
	var e event
	var whole map[string]any
	if err := json.Unmarshal(text, &whole); err != nil {
		return e, err
	}
	if err := json.Unmarshal(text, &e); err != nil {
		return e, err
	}
	delete(whole, "time")
	data, err := json.Marshal(whole)
	hash := sha256.Sum256(data)
	e.sum = hex.EncodeToString(hash[:8])
	return e, err
}
