// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
)

// api is as much of the server as the commands see: it keeps what is created
// and answers every turn as it is told to.
type api struct {
	t      *testing.T
	server *httptest.Server

	mu            sync.Mutex
	turns         map[string]*tightbeamv1.Turn
	conversations map[string]*tightbeamv1.Conversation
	queries       []string
	// answer are the events of every turn.
	answer []tightbeamv1.TurnEvent
	// model, if there is one, is what every turn waits for when it is created.
	model *tightbeamv1.TightbeamModel
	// hang: a turn does not end until it is cancelled.
	hang      bool
	cancelled chan struct{}
	// refuse answers the next creations.
	refuse []error
	// together: a creation is answered when somebody reads the turn.
	together bool
	reading  chan struct{}
	// cut breaks the connection of the next creations, after they were done.
	cut int
}

func newAPI(t *testing.T) *api {
	t.Helper()
	a := &api{t: t, turns: map[string]*tightbeamv1.Turn{}, conversations: map[string]*tightbeamv1.Conversation{}, cancelled: make(chan struct{}), reading: make(chan struct{}, 10)}
	mux := http.NewServeMux()
	const path = "/apis/tightbeam.dev/v1/namespaces/{namespace}/"
	mux.HandleFunc("POST "+path+"turns", func(w http.ResponseWriter, r *http.Request) { create(a, w, r, a.turns, "turns") })
	mux.HandleFunc("GET "+path+"turns/{name}", func(w http.ResponseWriter, r *http.Request) { get(a, w, r, a.turns, "turns") })
	mux.HandleFunc("POST "+path+"conversations", func(w http.ResponseWriter, r *http.Request) {
		create(a, w, r, a.conversations, "conversations")
	})
	mux.HandleFunc("GET "+path+"conversations/{name}", func(w http.ResponseWriter, r *http.Request) {
		get(a, w, r, a.conversations, "conversations")
	})
	mux.HandleFunc("GET "+path+"conversations", func(w http.ResponseWriter, _ *http.Request) {
		a.mu.Lock()
		defer a.mu.Unlock()
		var list tightbeamv1.ConversationList
		for _, c := range a.conversations {
			list.Items = append(list.Items, *c)
		}
		reply(w, http.StatusOK, &list)
	})
	mux.HandleFunc("GET "+path+"conversations/{name}/log", func(w http.ResponseWriter, _ *http.Request) {
		text := "what was said"
		_ = json.NewEncoder(w).Encode(tightbeamv1.LogEntry{Index: 1, Role: tightbeamv1.RoleUser, Content: []tightbeamv1.ContentBlock{{Text: &text}}})
	})
	mux.HandleFunc("GET "+path+"tightbeammodels/{name}", func(w http.ResponseWriter, r *http.Request) {
		get(a, w, r, map[string]*tightbeamv1.TightbeamModel{a.model.Name: a.model}, "tightbeammodels")
	})
	mux.HandleFunc("GET "+path+"turns/{name}/log", a.stream)
	mux.HandleFunc("POST "+path+"turns/{name}/cancel", func(w http.ResponseWriter, r *http.Request) {
		close(a.cancelled)
		get(a, w, r, a.turns, "turns")
	})
	a.server = httptest.NewServer(mux)
	t.Cleanup(a.server.Close)
	return a
}

func create[T metav1.Object](a *api, w http.ResponseWriter, r *http.Request, stored map[string]T, resource string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.queries = append(a.queries, r.URL.RawQuery)
	var obj T
	if err := json.NewDecoder(r.Body).Decode(&obj); err != nil {
		a.t.Error(err)
	}
	if len(a.refuse) > 0 {
		err := a.refuse[0]
		a.refuse = a.refuse[1:]
		fail(w, err)
		return
	}
	if _, exists := stored[obj.GetName()]; exists {
		exists := apierrors.NewAlreadyExists(tightbeamv1.Resource(resource), obj.GetName())
		exists.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: causeSameContent}}
		fail(w, exists)
		return
	}
	obj.SetNamespace(r.PathValue("namespace"))
	if turn, ok := any(obj).(*tightbeamv1.Turn); ok && a.model != nil {
		turn.Status = tightbeamv1.TurnStatus{Phase: tightbeamv1.TurnQueued, Model: a.model.Name}
	}
	stored[obj.GetName()] = obj
	if a.cut > 0 {
		a.cut--
		panic(http.ErrAbortHandler)
	}
	if a.together {
		<-a.reading
	}
	reply(w, http.StatusCreated, obj)
}

func get[T metav1.Object](a *api, w http.ResponseWriter, r *http.Request, stored map[string]T, resource string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	obj, exists := stored[r.PathValue("name")]
	if !exists {
		fail(w, apierrors.NewNotFound(tightbeamv1.Resource(resource), r.PathValue("name")))
		return
	}
	reply(w, http.StatusOK, obj)
}

func (a *api) stream(w http.ResponseWriter, r *http.Request) {
	a.reading <- struct{}{}
	for i, event := range a.answer {
		event.Number = int64(i + 1)
		_ = json.NewEncoder(w).Encode(event)
		w.(http.Flusher).Flush()
	}
	if !a.hang {
		return
	}
	select {
	case <-a.cancelled:
		_ = json.NewEncoder(w).Encode(tightbeamv1.TurnEvent{Number: 100, Type: tightbeamv1.TurnEventCancelled, Reason: "by its user"})
	case <-r.Context().Done():
	}
}

func reply(w http.ResponseWriter, code int, obj any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(obj)
}

func fail(w http.ResponseWriter, err error) {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		status = apierrors.NewInternalError(err)
	}
	s := status.Status()
	s.TypeMeta = metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}
	reply(w, int(s.Code), s)
}

func text(s string) tightbeamv1.TurnEvent {
	return tightbeamv1.TurnEvent{Type: tightbeamv1.TurnEventBlockDelta, Text: s}
}

func completed(whole string, reason tightbeamv1.StopReason) tightbeamv1.TurnEvent {
	return tightbeamv1.TurnEvent{Type: tightbeamv1.TurnEventCompleted, StopReason: reason, Message: &tightbeamv1.Message{
		Role: tightbeamv1.RoleAssistant, Content: []tightbeamv1.ContentBlock{{Text: &whole}},
	}}
}

// run runs a plugin as kubectl does.
func (a *api) run(plugin, stdin string, args ...string) (stdout, stderr string, err error) {
	a.t.Helper()
	var out, errOut bytes.Buffer
	streams := genericiooptions.IOStreams{In: strings.NewReader(stdin), Out: &out, ErrOut: &errOut}
	command, known := Plugins(streams)[plugin]
	if !known {
		a.t.Fatalf("there is no plugin %s", plugin)
	}
	c := command()
	c.SetArgs(args)
	a.t.Setenv("KUBECONFIG", a.kubeconfig())
	err = c.ExecuteContext(a.t.Context())
	return out.String(), errOut.String(), err
}

func (a *api) kubeconfig() string {
	file := filepath.Join(a.t.TempDir(), "kubeconfig")
	content := fmt.Sprintf(`{apiVersion: v1, kind: Config, current-context: c,
		clusters: [{name: c, cluster: {server: %q}}], users: [{name: c, user: {token: t}}],
		contexts: [{name: c, context: {cluster: c, user: c, namespace: ns}}]}`, a.server.URL)
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		a.t.Fatal(err)
	}
	return file
}

// only is the one turn that was created.
func (a *api) only() *tightbeamv1.Turn {
	a.t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.turns) != 1 {
		a.t.Fatalf("%d turns were created, want 1", len(a.turns))
	}
	for _, turn := range a.turns {
		return turn
	}
	panic("unreachable")
}
