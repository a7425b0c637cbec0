// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
	"safebeam.dev/safebeam/test/fakeprovider"
	"safebeam.dev/safebeam/test/harness"
)

// TestAnAPIKeyIsNowhereButInItsJob puts a canary into a secret directory, has
// it used, also in a failure that repeats it, and then looks for it: in the
// memory of the server, in the store and every other file, in every object and
// every log. The same search must find it in the job's memory, or it proves
// nothing.
func TestAnAPIKeyIsNowhereButInItsJob(t *testing.T) {
	// Put together at run time, so that it is not in this program's text.
	key := strings.Join([]string{"sk", "canary", "7f3a9c51e2", fmt.Sprint(os.Getpid())}, "-")
	fake := fakeprovider.New()
	provider := httptest.NewServer(fake)
	defer provider.Close()

	s := harness.Start(t)
	secret := filepath.Join(s.SecretsDir(), "canary")
	if err := os.MkdirAll(secret, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{"provider": "openai", "model": "m", "api-key": key + "\n"} {
		if err := os.WriteFile(filepath.Join(secret, name), []byte(value), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ctx := context.Background()
	if _, err := s.Client.TightbeamV1().TightbeamModels(harness.Namespace).Create(ctx, &tightbeamv1.TightbeamModel{
		ObjectMeta: metav1.ObjectMeta{Name: "canary"},
		Spec: tightbeamv1.TightbeamModelSpec{
			Provider: tightbeamv1.ProviderOpenAI, Model: "m", SecretName: "canary",
			BaseURL: provider.URL + "/v1/", WireFormat: tightbeamv1.WireFormatChat,
			Jobs: &tightbeamv1.ModelJobs{Min: ptr.To[int32](1)},
		},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	s.AddConversation("canary", "canary")
	fake.Enqueue(fakeprovider.Reply{Blocks: []fakeprovider.Block{{Kind: fakeprovider.Text, Deltas: []string{"fine"}}}})
	// A provider that repeats the key in its refusal, as some do.
	fake.Enqueue(fakeprovider.Reply{Error: &fakeprovider.Error{Status: 401, Type: "invalid_request_error", Message: "Incorrect API key provided: " + key}})
	for _, name := range []string{"good", "bad"} {
		if _, err := s.Client.TightbeamV1().Turns(harness.Namespace).Create(ctx, harness.NewTurn(name, "canary", "hello"), metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		body, err := s.Get("turns/" + name + "/log?follow=true")
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(body, []byte(key)) {
			t.Errorf("the key is in the events of turn %s:\n%s", name, body)
		}
	}
	if got := fake.Requests(); len(got) < 2 {
		t.Fatalf("the provider was called %d times: the key was not used", len(got))
	}

	jobs := s.Jobs()
	if len(jobs) != 1 {
		t.Fatalf("there are %d jobs, want 1", len(jobs))
	}
	if !inMemory(t, jobs[0], key) {
		t.Fatal("the key is not found in the memory of its job: the search proves nothing")
	}
	if inMemory(t, s.Process.Process.Pid, key) {
		t.Error("the key is in the server's memory")
	}
	for _, resource := range []string{"tightbeammodels", "conversations", "turns", "conversations/canary/log", "conversations/canary/log?view=provider"} {
		body, err := s.Get(resource)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(body, []byte(key)) {
			t.Errorf("the key is in %s", resource)
		}
	}
	for _, pid := range append(jobs, s.Process.Process.Pid) {
		for _, file := range []string{"environ", "cmdline"} {
			if data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, file)); bytes.Contains(data, []byte(key)) {
				t.Errorf("the key is in the %s of process %d", file, pid)
			}
		}
	}
	s.Stop() // the store writes down what it holds
	err := filepath.WalkDir(s.Dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || strings.HasPrefix(path, secret) {
			return err
		}
		data, err := os.ReadFile(path)
		if err == nil && bytes.Contains(data, []byte(key)) {
			t.Errorf("the key is in the file %s", path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Restart()
}

// inMemory searches what a process has mapped for writing.
func inMemory(t *testing.T, pid int, text string) bool {
	t.Helper()
	maps, err := os.Open(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		t.Fatal(err)
	}
	defer maps.Close()
	memory, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if err != nil {
		t.Fatal(err)
	}
	defer memory.Close()
	for lines := bufio.NewScanner(maps); lines.Scan(); {
		var from, to int64
		var mode string
		if n, _ := fmt.Sscanf(lines.Text(), "%x-%x %s", &from, &to, &mode); n != 3 || !strings.HasPrefix(mode, "rw") {
			continue
		}
		const chunk = 1 << 20
		buffer := make([]byte, chunk+len(text))
		for at := from; at < to; at += chunk {
			n, err := memory.ReadAt(buffer[:min(int64(len(buffer)), to-at)], at)
			if err != nil && err != io.EOF && n == 0 {
				break // a guard page
			}
			if bytes.Contains(buffer[:n], []byte(text)) {
				return true
			}
		}
	}
	return false
}

// eventually repeats a check until it holds.
func eventually(t *testing.T, limit time.Duration, check func() error) {
	t.Helper()
	deadline := time.Now().Add(limit)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
