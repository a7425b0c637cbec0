// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package apiserver_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
	"safebeam.dev/safebeam/pkg/apiserver/servertest"
)

// events reads a stream of NDJSON.
type events struct {
	t     *testing.T
	lines *bufio.Scanner
}

func follow(t *testing.T, s *servertest.Server, path string) *events {
	t.Helper()
	response := open(t, s, path)
	if response.StatusCode != http.StatusOK {
		t.Fatal(response.Status, read(t, response))
	}
	return &events{t, bufio.NewScanner(response.Body)}
}

func (e *events) next() *tightbeamv1.TurnEvent {
	e.t.Helper()
	for e.lines.Scan() {
		if e.lines.Text() == "" {
			continue
		}
		event := &tightbeamv1.TurnEvent{}
		if err := json.Unmarshal(e.lines.Bytes(), event); err != nil {
			e.t.Fatal(err)
		}
		return event
	}
	if err := e.lines.Err(); err != nil {
		e.t.Fatal(err)
	}
	return nil
}

func TestAReaderSeesEachEventAsItHappens(t *testing.T) {
	t.Parallel()
	s, api := start(t, servertest.Settings{})
	if _, err := api.Turns(namespace).Create(t.Context(), turn("t", "c", "hi"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	readers := map[string]*events{
		"stream":          follow(t, s, group+"turns/t/stream"),
		"log?follow=true": follow(t, s, group+"turns/t/log?follow=true"),
	}
	job := pull(t, s)
	for name, reader := range readers {
		if event := reader.next(); event.Type != tightbeamv1.TurnEventStarted || event.Number != 1 {
			t.Errorf("%s begins with %+v", name, event)
		}
	}
	for i, word := range []string{"one", "two", "three"} {
		job.say(word) // the next only after every reader has this one
		for name, reader := range readers {
			if event := reader.next(); event.Text != word || event.Number != int64(i+2) {
				t.Errorf("%s: got %+v, want %q as event %d", name, event, word, i+2)
			}
		}
	}
	job.finish("one two three")
	for name, reader := range readers {
		if event := reader.next(); event == nil || event.Type != tightbeamv1.TurnEventCompleted {
			t.Errorf("%s: got %+v, want Completed", name, event)
		}
		if event := reader.next(); event != nil {
			t.Errorf("%s: after the terminal event came %+v", name, event)
		}
	}
}

func TestAReaderResumesAfterItsCursor(t *testing.T) {
	t.Parallel()
	s, api := start(t, servertest.Settings{})
	if _, err := api.Turns(namespace).Create(t.Context(), turn("t", "c", "hi"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	job := pull(t, s)
	job.say("a")
	job.say("b")

	// log does not follow unless asked to: it ends where the events do.
	if got := read(t, open(t, s, group+"turns/t/log?after=1")); strings.Count(got, "\n") != 2 || !strings.Contains(got, `"text":"b"`) {
		t.Errorf("log?after=1 of a running turn:\n%s", got)
	}
	reader := follow(t, s, group+"turns/t/stream?after=2")
	if event := reader.next(); event.Number != 3 || event.Text != "b" {
		t.Errorf("after=2 begins with %+v", event)
	}
	job.finish("ab")
	if event := reader.next(); event.Number != 4 {
		t.Errorf("then came %+v", event)
	}
	sse := read(t, open(t, s, group+"turns/t/stream?after=1", "Accept", "text/event-stream", "Last-Event-ID", "3"))
	if !strings.HasPrefix(sse, "id: 4\ndata: {") || strings.Count(sse, "id: ") != 1 {
		t.Errorf("Last-Event-ID: 3 gave\n%s", sse)
	}
	if got := read(t, open(t, s, group+"turns/t/stream?after=4")); got != "" {
		t.Errorf("after the last event came\n%s", got)
	}
}

func TestWhoReadTheEndOfATurnFindsItInItsLogs(t *testing.T) {
	t.Parallel()
	s, api := start(t, servertest.Settings{})
	for i := range 10 {
		name := fmt.Sprint("t", i)
		if _, err := api.Turns(namespace).Create(t.Context(), turn(name, "c", "hi"), metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		reader := follow(t, s, group+"turns/"+name+"/stream")
		job := pull(t, s)
		reader.next() // Started
		job.finish("answer " + name)
		if event := reader.next(); event.Type != tightbeamv1.TurnEventCompleted {
			t.Fatalf("it ends with %+v", event)
		}
		for _, log := range []string{"turns/" + name + "/log", "conversations/c/log", "conversations/c/log?view=provider"} {
			if got := read(t, open(t, s, group+log)); !strings.Contains(got, "answer "+name) {
				t.Errorf("%s has no answer:\n%s", log, got)
			}
		}
	}
}

func TestAStreamIsThatOfTheTurnThatHasTheName(t *testing.T) {
	t.Parallel()
	s, api := start(t, servertest.Settings{})
	for i := range 20 {
		text := fmt.Sprint("answer ", i)
		if _, err := api.Turns(namespace).Create(t.Context(), turn("t", "c", "hi"), metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		reader := follow(t, s, group+"turns/t/log?follow=true")
		j := pull(t, s)
		j.say(text)
		reader.next() // Started
		if event := reader.next(); event.Text != text {
			t.Fatalf("it says %+v, not %q", event, text)
		}
		if i%2 == 0 { // else it is deleted while it runs
			j.finish(text)
		}
		if err := api.Turns(namespace).Delete(t.Context(), "t", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		if response := open(t, s, group+"turns/t/log"); response.StatusCode != http.StatusNotFound {
			t.Fatalf("the log of a deleted turn: %s", response.Status)
		}
	}
}

func TestAReaderMayComeBeforeItsTurn(t *testing.T) {
	t.Parallel()
	s, api := start(t, servertest.Settings{})
	for i := range 10 {
		name := fmt.Sprint("t", i)
		path := group + "turns/" + name + "/log?follow=true&waitSeconds=30"
		if i%2 == 0 {
			path = group + "turns/" + name + "/stream?waitSeconds=30"
		}
		opened := make(chan *http.Response)
		go func() { opened <- open(t, s, path) }()
		if _, err := api.Turns(namespace).Create(t.Context(), turn(name, "c", "hi"), metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		job := pull(t, s)
		job.say("one")
		response := <-opened
		if response.StatusCode != http.StatusOK {
			t.Fatal(response.Status, read(t, response))
		}
		reader := &events{t, bufio.NewScanner(response.Body)}
		for i, want := range []tightbeamv1.TurnEventType{tightbeamv1.TurnEventStarted, tightbeamv1.TurnEventBlockDelta} {
			if event := reader.next(); event.Type != want || event.Number != int64(i+1) {
				t.Errorf("%s: event %d is %+v", path, i+1, event)
			}
		}
		job.finish("one")
		if event := reader.next(); event.Type != tightbeamv1.TurnEventCompleted {
			t.Errorf("%s: it ends with %+v", path, event)
		}
	}
	if response := open(t, s, group+"turns/none/log?waitSeconds=1"); response.StatusCode != http.StatusNotFound {
		t.Errorf("a turn that does not come: %s", response.Status)
	}
}

func TestStreamsAreRefusedByParameter(t *testing.T) {
	t.Parallel()
	s, api := start(t, servertest.Settings{})
	if _, err := api.Turns(namespace).Create(t.Context(), turn("t", "c", "hi"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	pull(t, s).finish("ho")
	for path, want := range map[string]struct {
		code int
		says string
	}{
		"turns/t/stream?after=999999":                   {http.StatusGone, "after"},
		"turns/t/log?after=-1":                          {http.StatusBadRequest, "after"},
		"turns/t/log?since=1":                           {http.StatusBadRequest, `unknown parameter \"since\"`},
		"turns/none/log":                                {http.StatusNotFound, "none"},
		"turns/t/log?waitSeconds=31":                    {http.StatusBadRequest, "waitSeconds is at most 30"},
		"turns/t/stream?waitSeconds=-1":                 {http.StatusBadRequest, "waitSeconds"},
		"conversations/c/log?waitSeconds=1":             {http.StatusBadRequest, "unknown parameter"},
		"conversations/c/log?after=99&view=raw":         {http.StatusGone, "after"},
		"conversations/c/log?view=all":                  {http.StatusBadRequest, "view"},
		"conversations/c/log?view=provider&follow=true": {http.StatusBadRequest, "view=raw"},
		"conversations/none/log":                        {http.StatusNotFound, "none"},
	} {
		response := open(t, s, group+path)
		text := read(t, response)
		var status metav1.Status
		if err := json.Unmarshal([]byte(text), &status); err != nil || response.StatusCode != want.code || status.Kind != "Status" || !strings.Contains(text, want.says) {
			t.Errorf("%s: %s %s; want a Status %d with %s", path, response.Status, text, want.code, want.says)
		}
	}
}

func TestAConversationsLogIsFollowed(t *testing.T) {
	t.Parallel()
	s, api := start(t, servertest.Settings{})
	log := bufio.NewReader(open(t, s, group+"conversations/c/log?follow=true").Body)
	for _, name := range []string{"a", "b"} {
		if _, err := api.Turns(namespace).Create(t.Context(), turn(name, "c", "ask "+name), metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		pull(t, s).finish("answer " + name)
		for _, want := range []string{"ask " + name, "answer " + name} {
			line, err := log.ReadString('\n')
			if err != nil || !strings.Contains(line, want) {
				t.Fatalf("got %q, %v; want %q", line, err, want)
			}
		}
	}
	for path, want := range map[string]int{"?limit=3": 3, "?after=3": 1, "?view=provider": 4, "?view=provider&after=2&limit=1": 1, "?view=router": 0} {
		if got := read(t, open(t, s, group+"conversations/c/log"+path)); strings.Count(got, "\n") != want {
			t.Errorf("%s: want %d messages, got\n%s", path, want, got)
		}
	}
	// Its end is the conversation's.
	if err := api.Conversations(namespace).Delete(t.Context(), "c", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(log); err != nil || strings.TrimSpace(string(rest)) != "" {
		t.Errorf("after the deletion came %q, %v", rest, err)
	}
}

func TestOpenStreamsDoNotHoldUpTheShutdown(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, api := start(t, servertest.Settings{DataDir: dir})
	if _, err := api.Turns(namespace).Create(t.Context(), turn("t", "c", "hi"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	job := pull(t, s)
	job.say("half")
	reader := follow(t, s, group+"turns/t/stream")
	reader.next()
	if event := reader.next(); event.Text != "half" {
		t.Fatal(event)
	}
	log := bufio.NewReader(open(t, s, group+"conversations/c/log?follow=true").Body)
	if line, err := log.ReadString('\n'); err != nil || !strings.Contains(line, `"hi"`) {
		t.Fatal(line, err)
	}
	watcher, err := api.Turns(namespace).Watch(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	s.Stop()
	if event := reader.next(); event != nil { // fails unless the end is a clean one
		t.Errorf("after the shutdown came %+v", event)
	}
	if rest, err := io.ReadAll(log); err != nil || len(rest) > 0 {
		t.Errorf("the log ended with %q, %v; want a clean end", rest, err)
	}
	for range watcher.ResultChan() { // ends
	}

	// What a reader had seen is still what was said.
	s = servertest.Start(t, servertest.Settings{DataDir: dir})
	again := follow(t, s, group+"turns/t/log")
	again.next()
	if event := again.next(); event == nil || event.Text != "half" || event.Number != 2 {
		t.Errorf("the next server tells %+v", event)
	}
}
