// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/rest"

	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
)

func TestRunningInASandboxThatIsThere(t *testing.T) {
	t.Parallel()
	u, box := begin(t)
	script := filepath.Join(t.TempDir(), "script.py")
	if err := os.WriteFile(script, []byte("import sys\nprint('read', sys.stdin.read())\nsys.exit(4)\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	inBox := []string{"--working-dir", box.Workspace}
	for _, test := range []struct {
		name  string
		stdin string
		args  []string
		code  int
		out   string
		says  string
	}{
		{"a command", "", []string{"--", "sh", "-c", "echo out; echo err >&2; exit 3"}, 3, "out\n", "err\n"},
		{"its end", "", []string{"--", "false"}, 1, "", "command terminated with exit code 1"},
		{"arguments as they are", "", []string{"--", "printf", "%s|", "a b", "", "$HOME", "\n"}, 0, "a b||$HOME|\n|", ""},
		{"output that is no text", "", []string{"--", "printf", `\377\000\376`}, 0, "\xff\x00\xfe", ""},
		{"a script, with input", "this", []string{"-i", "-f", script}, 4, "read this\n", "exit code 4"},
		{"code from a pipe", "print(6 * 7)", []string{"-f", "-"}, 0, "42\n", ""},
		{"code", "", []string{"--code", "import os; print(os.environ['A'])", "--env", "A=b=c"}, 0, "b=c\n", ""},
		{"another language", "", []string{"--language", "bash", "--code", "echo $((6 * 7))"}, 0, "42\n", ""},
		{"time that is over", "", []string{"--timeout", "1s", "--", "sleep", "60"}, 124, "", "out of time"},
		{"a signal", "", []string{"--", "sh", "-c", "kill -9 $$"}, 137, "", "SIGKILL"},
	} {
		t.Run(test.name, func(t *testing.T) {
			u := user{t, u.config}
			code, out, errOut := u.calls(strings.NewReader(test.stdin), append([]string{"run", "box"}, append(inBox[:2:2], test.args...)...)...)
			if code != test.code || out != test.out || !strings.Contains(errOut, test.says) || test.says == "" && errOut != "" {
				t.Errorf("%d, %q, %q; want %d, %q, %q", code, out, errOut, test.code, test.out, test.says)
			}
		})
	}
	t.Run("and coming back for it", func(t *testing.T) {
		u := user{t, u.config}
		code, name, errOut := u.calls(nil, append([]string{"run", "box", "--detach"}, append(inBox, "--", "sh", "-c", "echo out; echo err >&2; exit 3")...)...)
		if code != 0 || !strings.HasPrefix(name, "box-") {
			t.Fatalf("%d, %q, %q", code, name, errOut)
		}
		name = strings.TrimSpace(name)
		if code, out, errOut := u.calls(nil, "logs", "-f", name); code != 0 || out != "out\n" || !strings.Contains(errOut, "err\n") || !strings.Contains(errOut, "exit code 3") {
			t.Errorf("%d, %q, %q", code, out, errOut)
		}
		if code, out, errOut := u.calls(nil, "logs", "--stream", "stdout", name); code != 0 || out != "out\n" || errOut != "" {
			t.Errorf("%d, %q, %q", code, out, errOut)
		}
		if code, _, errOut := u.calls(nil, "logs", "nowhere"); code == 0 || !strings.Contains(errOut, "not found") {
			t.Errorf("%d, %q", code, errOut)
		}
	})
}

func TestContradictionsAreRefusedBeforeAnythingIsMade(t *testing.T) {
	t.Parallel()
	u := user{t, filepath.Join(t.TempDir(), "none")}
	for says, args := range map[string][]string{
		"where?":               {"--", "true"},
		"what?":                {"--runtime", "python"},
		"exclude each other":   {"--runtime", "python", "--code", "1", "--", "true"},
		"there already":        {"box", "--runtime", "python", "--", "true"},
		"needs a sandbox that": {"--runtime", "python", "--detach", "--", "true"},
		"lets go":              {"box", "--detach", "-i", "--", "cat"},
		"nobody types":         {"box", "-t", "--code", "1"},
		"either the code":      {"box", "-i", "-f", "-"},
		"is for code":          {"box", "--language", "python", "--", "true"},
		"one NAME":             {"box", "ls"},
		"NAME=VALUE":           {"box", "--env", "A", "--", "true"},
		"no such file":         {"box", "-f", "/nowhere/at/all"},
		"command timeout":      {"box", "-i", "--timeout", "1s", "--", "cat"},
	} {
		if code, _, errOut := u.calls(nil, append([]string{"run"}, args...)...); code != -1 || !strings.Contains(errOut, says) {
			t.Errorf("%v: %d, %q; want an error about %q", args, code, errOut, says)
		}
	}
}

// api is as much of the server as run sees: a sandbox that comes to be as it is
// told to, and an execution that writes and ends as it is told to.
type api struct {
	t      *testing.T
	server *httptest.Server

	mu         sync.Mutex
	sandboxes  map[string]*v1.Sandbox
	executions map[string]*v1.Execution
	deleted    []string
	cancelled  []string

	phase v1.SandboxPhase
	// events of the execution; without a terminal one it goes on.
	events []v1.ExecutionEvent
	// cut breaks the connection of the first creation, after it was done.
	cut bool
	// following is closed when somebody reads the log.
	following chan struct{}
	once      sync.Once
}

func newAPI(t *testing.T) *api {
	t.Helper()
	a := &api{t: t, sandboxes: map[string]*v1.Sandbox{}, executions: map[string]*v1.Execution{}, phase: v1.SandboxRunning, following: make(chan struct{})}
	mux := http.NewServeMux()
	const path = "/apis/llmsafespace.dev/v1/namespaces/" + namespace + "/"
	mux.HandleFunc("POST "+path+"sandboxes", func(w http.ResponseWriter, r *http.Request) {
		a.mu.Lock()
		defer a.mu.Unlock()
		var s v1.Sandbox
		if err := json.NewDecoder(r.Body).Decode(&s); err != nil {
			t.Error(err)
		}
		if _, there := a.sandboxes[s.Name]; there {
			reply(w, http.StatusConflict, &metav1.Status{TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: "Failure", Reason: metav1.StatusReasonAlreadyExists, Code: http.StatusConflict})
			return
		}
		s.UID, s.Status.Phase, s.ResourceVersion = types.UID("uid-of-"+s.Name), v1.SandboxPending, "1"
		a.sandboxes[s.Name] = &s
		if a.cut {
			a.cut = false
			panic(http.ErrAbortHandler)
		}
		reply(w, http.StatusCreated, &s)
	})
	mux.HandleFunc("GET "+path+"sandboxes", func(w http.ResponseWriter, r *http.Request) {
		a.mu.Lock()
		list := v1.SandboxList{TypeMeta: metav1.TypeMeta{Kind: "SandboxList", APIVersion: "llmsafespace.dev/v1"}, ListMeta: metav1.ListMeta{ResourceVersion: "1"}}
		for _, s := range a.sandboxes {
			list.Items = append(list.Items, *s)
		}
		a.mu.Unlock()
		if r.URL.Query().Get("watch") == "" {
			reply(w, http.StatusOK, &list)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		if r.URL.Query().Get("sendInitialEvents") == "true" {
			for _, s := range list.Items {
				send(w, "ADDED", s)
			}
			send(w, "BOOKMARK", v1.Sandbox{ObjectMeta: metav1.ObjectMeta{ResourceVersion: "1", Annotations: map[string]string{metav1.InitialEventsAnnotationKey: "true"}}})
		}
		for _, s := range list.Items {
			s.Status.Phase, s.ResourceVersion = a.phase, "2"
			s.Status.Message = "as it was told to"
			send(w, "MODIFIED", s)
		}
		<-r.Context().Done()
	})
	mux.HandleFunc("GET "+path+"sandboxes/{name}", func(w http.ResponseWriter, r *http.Request) {
		a.mu.Lock()
		defer a.mu.Unlock()
		reply(w, http.StatusOK, a.sandboxes[r.PathValue("name")])
	})
	mux.HandleFunc("DELETE "+path+"sandboxes/{name}", func(w http.ResponseWriter, r *http.Request) {
		a.mu.Lock()
		defer a.mu.Unlock()
		var options metav1.DeleteOptions
		_ = json.NewDecoder(r.Body).Decode(&options)
		if options.Preconditions == nil || options.Preconditions.UID == nil || string(*options.Preconditions.UID) != "uid-of-"+r.PathValue("name") {
			t.Errorf("deleted without being sure which: %+v", options)
		}
		a.deleted = append(a.deleted, r.PathValue("name"))
		reply(w, http.StatusOK, a.sandboxes[r.PathValue("name")])
	})
	mux.HandleFunc("POST "+path+"executions", func(w http.ResponseWriter, r *http.Request) {
		a.mu.Lock()
		defer a.mu.Unlock()
		var e v1.Execution
		if err := json.NewDecoder(r.Body).Decode(&e); err != nil {
			t.Error(err)
		}
		a.executions[e.Name] = &e
		reply(w, http.StatusCreated, &e)
	})
	mux.HandleFunc("POST "+path+"executions/{name}/cancel", func(w http.ResponseWriter, r *http.Request) {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.cancelled = append(a.cancelled, r.PathValue("name"))
		reply(w, http.StatusOK, a.executions[r.PathValue("name")])
	})
	mux.HandleFunc("GET "+path+"executions/{name}/log", func(w http.ResponseWriter, r *http.Request) {
		a.once.Do(func() { close(a.following) })
		for i, e := range a.events {
			e.Number = int64(i + 1)
			_ = json.NewEncoder(w).Encode(e)
			w.(http.Flusher).Flush()
			if e.Type.Terminal() {
				return
			}
		}
		<-r.Context().Done()
	})
	a.server = httptest.NewServer(mux)
	t.Cleanup(func() {
		a.server.CloseClientConnections()
		a.server.Close()
	})
	return a
}

func send(w http.ResponseWriter, kind string, s v1.Sandbox) {
	s.TypeMeta = metav1.TypeMeta{Kind: "Sandbox", APIVersion: "llmsafespace.dev/v1"}
	raw, _ := json.Marshal(&s)
	_ = json.NewEncoder(w).Encode(metav1.WatchEvent{Type: kind, Object: runtime.RawExtension{Raw: raw}})
	w.(http.Flusher).Flush()
}

func reply(w http.ResponseWriter, code int, obj any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(obj)
}

func (a *api) user() user { return user{a.t, kubeconfig(a.t, &rest.Config{Host: a.server.URL})} }

func output(text string) v1.ExecutionEvent {
	return v1.ExecutionEvent{Type: v1.ExecutionEventOutput, Stream: v1.Stdout, Text: text}
}

func TestASandboxOfItsOwnGoesInTheEnd(t *testing.T) {
	t.Parallel()
	three := int32(3)
	for name, test := range map[string]struct {
		api     func(*api)
		args    []string
		code    int
		says    string
		deleted int
		started int
	}{
		"it succeeds":           {deleted: 1, started: 1},
		"it fails":              {api: func(a *api) { a.events[1] = v1.ExecutionEvent{Type: v1.ExecutionEventFailed, ExitCode: &three} }, code: 3, says: "exit code 3", deleted: 1, started: 1},
		"it is lost":            {api: func(a *api) { a.events[1] = v1.ExecutionEvent{Type: v1.ExecutionEventLost, Reason: "NodeLost"} }, code: 1, says: "NodeLost", deleted: 1, started: 1},
		"it shall stay":         {args: []string{"--keep"}, says: "created", started: 1},
		"it never runs":         {api: func(a *api) { a.phase = v1.SandboxFailed }, code: -1, says: "as it was told to", deleted: 1},
		"it takes too long":     {api: func(a *api) { a.phase = v1.SandboxCreating }, args: []string{"--running-timeout", "3s"}, code: -1, says: "does not run after 3s: Creating: as it was told to", deleted: 1},
		"the connection breaks": {api: func(a *api) { a.cut = true }, deleted: 1, started: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAPI(t)
			a.events = []v1.ExecutionEvent{output("hello\n"), {Type: v1.ExecutionEventSucceeded}}
			if test.api != nil {
				test.api(a)
			}
			code, out, errOut := a.user().calls(nil, append(append([]string{"run", "--runtime", "python:3.10", "--timeout", "10m"}, test.args...), "--", "true")...)
			if code != test.code || !strings.Contains(errOut, test.says) || test.started > 0 && out != "hello\n" {
				t.Errorf("%d, %q, %q", code, out, errOut)
			}
			a.mu.Lock()
			defer a.mu.Unlock()
			if len(a.sandboxes) != 1 || len(a.deleted) != test.deleted || len(a.executions) != test.started {
				t.Errorf("%d sandboxes, deleted %v, %d executions", len(a.sandboxes), a.deleted, len(a.executions))
			}
			for _, s := range a.sandboxes {
				if s.Spec.Runtime != "python:3.10" || s.Spec.Timeout == nil || *s.Spec.Timeout != 11*60 {
					t.Errorf("spec %+v", s.Spec)
				}
				for _, e := range a.executions {
					if e.Spec.Sandbox != s.Name || *e.Spec.TimeoutSeconds != 600 {
						t.Errorf("spec %+v", e.Spec)
					}
				}
			}
		})
	}
}

func TestLeavingARunEndsItAndItsSandbox(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	a.events = []v1.ExecutionEvent{output("hello\n")}
	ctx, leave := context.WithCancel(t.Context())
	command := New("kubectl sandbox", genericiooptions.IOStreams{In: strings.NewReader(""), Out: io.Discard, ErrOut: io.Discard})
	command.SetArgs([]string{"run", "--kubeconfig", a.user().config, "--runtime", "python", "--", "sleep", "1000"})
	command.SilenceErrors, command.SilenceUsage = true, true
	ended := make(chan error, 1)
	go func() { ended <- command.ExecuteContext(ctx) }()
	select {
	case <-a.following:
	case err := <-ended:
		t.Fatal("it ended of itself:", err)
	}
	leave()
	if code, ran := exitCode(<-ended); code != 130 || !ran {
		t.Errorf("exit code %d", code)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.cancelled) != 1 || len(a.deleted) != 1 {
		t.Errorf("cancelled %v, deleted %v", a.cancelled, a.deleted)
	}
}

func TestCreateSaysWhatItWouldSend(t *testing.T) {
	t.Parallel()
	u := user{t, kubeconfig(t, &rest.Config{Host: "https://127.0.0.1:1"})}
	code, out, errOut := u.calls(nil, "create", "box", "--runtime", "python:3.11", "--lifetime", "90m", "--idle-timeout", "20m", "--cpu", "2", "--memory", "1Gi",
		"--ephemeral-storage", "2Gi", "--env", "A=b", "--security-level", "high", "--profile", "team/strict", "--cold", "--dry-run=client", "-o", "yaml")
	if code != 0 {
		t.Fatal(code, errOut)
	}
	for _, want := range []string{
		"kind: Sandbox", "name: box", "namespace: " + namespace, "runtime: python:3.11", "timeout: 5400", "idleTimeout: 1200", `cpu: "2"`, "memory: 1Gi",
		"ephemeralStorage: 2Gi", "name: A", "value: b", "securityLevel: high", "name: strict", "namespace: team", "useWarmPool: false",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in\n%s", want, out)
		}
	}
	for says, args := range map[string][]string{
		"512Mi":        {"--memory", "much"},
		"--lifetime":   {"--lifetime", "-1s"},
		"NAME=VALUE":   {"--env", "A"},
		"runtimeenvir": {"--runtime", ""},
	} {
		if code, _, errOut := u.calls(nil, append([]string{"create", "box", "--runtime", "python", "--dry-run=client"}, args...)...); code == 0 || !strings.Contains(errOut, says) {
			t.Errorf("%v: %d, %q", args, code, errOut)
		}
	}
}

func TestCompletion(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	for _, name := range []string{"box", "bin", "other"} {
		a.sandboxes[name] = &v1.Sandbox{ObjectMeta: metav1.ObjectMeta{Name: name}}
	}
	u := a.user()
	for line, want := range map[string]string{
		"exec b":        "bin box",
		"ls o":          "other",
		"cp bo":         "box:",
		"cp x.csv oth":  "other:",
		"run b":         "bin box",
		"exec box -- b": "",
	} {
		words := strings.Fields(line)
		command := []string{words[0], "--kubeconfig", u.config}
		out := u.completes(append(command, words[1:]...)...)
		got := map[string]bool{}
		for _, name := range strings.Fields(out) {
			if !strings.HasPrefix(name, ":") {
				got[name] = true
			}
		}
		if len(got) != len(strings.Fields(want)) {
			t.Errorf("%s: %q", line, out)
		}
		for _, name := range strings.Fields(want) {
			if !got[name] {
				t.Errorf("%s: %q lacks %s", line, out, name)
			}
		}
	}
}
