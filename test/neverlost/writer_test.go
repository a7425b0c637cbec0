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

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
	"safebeam.dev/safebeam/pkg/generated/clientset/versioned"
	"safebeam.dev/safebeam/test/harness"
)

// writerCommand is this program in the part of the client.
const writerCommand = "neverlost-writer"

// line is what the client writes down, one JSON object a line, before it does
// anything else.
type line struct {
	// Acknowledged is a turn that was answered 201, or 409 with its own
	// content after an answer that was lost.
	Acknowledged string `json:"acknowledged,omitempty"`
	Conversation string `json:"conversation,omitempty"`

	// Turn, Number, Type and Sum tell of an event that a reader saw.
	Turn   string                    `json:"turn,omitempty"`
	Number int64                     `json:"number,omitempty"`
	Type   tightbeamv1.TurnEventType `json:"type,omitempty"`
	Sum    string                    `json:"sum,omitempty"`
	From   int64                     `json:"from,omitempty"`
	To     int64                     `json:"to,omitempty"`
}

// startWriter runs the client until stop, which returns what it wrote down.
func startWriter(t *testing.T, s *harness.Server, conversations int) (stop func() []line) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	record, err := os.CreateTemp(t.TempDir(), "acknowledged-")
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command(self, writerCommand, s.Kubeconfig, strconv.Itoa(conversations))
	command.Stdout, command.Stderr = record, os.Stderr
	input, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = command.Process.Kill() })
	return func() []line {
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
			t.Fatalf("turns that were acknowledged have not ended: the client still waits for them")
		}
		data, err := os.Open(record.Name())
		if err != nil {
			t.Fatal(err)
		}
		defer data.Close()
		var lines []line
		for decoder := json.NewDecoder(data); ; {
			var l line
			if decoder.Decode(&l) != nil {
				return lines
			}
			lines = append(lines, l)
		}
	}
}

type writer struct {
	client versioned.Interface
	http   *http.Client
	host   string
	mu     sync.Mutex
}

func (w *writer) note(l line) {
	data, err := json.Marshal(l)
	if err != nil {
		panic(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, err := os.Stdout.Write(append(data, '\n')); err != nil {
		panic(err)
	}
}

func writerMain(args []string) int {
	config, err := clientcmd.BuildConfigFromFlags("", args[0])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	config.QPS = -1
	conversations, _ := strconv.Atoi(args[1])
	w := &writer{client: versioned.NewForConfigOrDie(config), host: config.Host}
	if w.http, err = rest.HTTPClientFor(config); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	ctx, stop := context.WithCancel(context.Background())
	go func() {
		_, _ = bufio.NewReader(os.Stdin).ReadByte()
		stop()
	}()
	var group sync.WaitGroup
	for c := range conversations {
		group.Go(func() { w.converse(ctx, fmt.Sprintf("c%d", c)) })
	}
	group.Wait()
	return 0
}

// converse creates turn after turn in one conversation, a few ahead of what is
// answered, until ctx ends, and reads each of them to its end.
func (w *writer) converse(ctx context.Context, conversation string) {
	var readers sync.WaitGroup
	ahead := make(chan struct{}, 3)
	for i := 0; ctx.Err() == nil; i++ {
		name := fmt.Sprintf("%s-%04d", conversation, i)
		if !w.create(ctx, name, conversation) {
			break
		}
		w.note(line{Acknowledged: name, Conversation: conversation})
		ahead <- struct{}{}
		readers.Go(func() {
			defer func() { <-ahead }()
			w.read(name)
		})
	}
	readers.Wait()
}

// create insists until the turn is acknowledged. False: ctx ended before.
func (w *writer) create(ctx context.Context, name, conversation string) bool {
	turn := harness.NewTurn(name, conversation, "question of "+name)
	for {
		attempt, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		_, err := w.client.TightbeamV1().Turns(namespace).Create(attempt, turn, metav1.CreateOptions{})
		cancel()
		if err == nil || apierrors.IsAlreadyExists(err) && apierrors.HasStatusCause(err, "SameContent") {
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// read follows a turn to its terminal event, over as many connections as that
// takes, and writes every event down.
func (w *writer) read(name string) {
	for after := int64(0); ; time.Sleep(20 * time.Millisecond) {
		response, err := w.http.Get(fmt.Sprintf("%s/apis/tightbeam.dev/v1/namespaces/%s/turns/%s/log?follow=true&after=%d", w.host, namespace, name, after))
		if err != nil {
			continue
		}
		if response.StatusCode != http.StatusOK {
			response.Body.Close()
			if response.StatusCode == http.StatusGone || response.StatusCode == http.StatusNotFound {
				w.note(line{Turn: name, Type: tightbeamv1.TurnEventType(fmt.Sprintf("HTTP %d after %d", response.StatusCode, after))})
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
			var event tightbeamv1.TurnEvent
			if json.Unmarshal(lines.Bytes(), &event) != nil {
				break // the last line of a cut connection
			}
			w.note(line{Turn: name, Number: event.Number, Type: event.Type, Sum: sum(event), From: event.LostFrom, To: event.LostTo})
			after = event.Number
			if event.Type.Terminal() {
				response.Body.Close()
				return
			}
		}
		response.Body.Close()
	}
}

// sum is what an event is, but for the time at which the server learnt of it:
// a chunk that a job sends again keeps its number and arrives later.
func sum(event tightbeamv1.TurnEvent) string {
	event.Time = metav1.MicroTime{}
	data, err := json.Marshal(event)
	if err != nil {
		panic(err)
	}
	hash := sha256.Sum256(data)
	return hex.EncodeToString(hash[:8])
}
