// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package neverlost

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
	"safebeam.dev/safebeam/test/harness"
)

// TestAFullDiskTurnsReadinessOffAndLosesNothingAcknowledged runs the server on
// a small file system of its own and fills it. What was acknowledged before is
// there when space is made and the server started again.
func TestAFullDiskTurnsReadinessOffAndLosesNothingAcknowledged(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=300m,mode=0700"); err != nil {
		t.Fatalf("mounting a small file system (this test needs root): %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	s := harness.StartIn(t, dir)
	// What fills the disk is the questions. The job is there before: it could
	// not be launched on a full disk.
	s.AddModel("echo", `{"answer": "ok"}`, &tightbeamv1.ModelJobs{Min: ptr.To[int32](1)})
	s.AddConversation("c", "echo")
	ctx := context.Background()
	if _, err := s.Client.TightbeamV1().Turns(namespace).Create(ctx, harness.NewTurn("warm", "c", "hello"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get("turns/warm/log?follow=true"); err != nil {
		t.Fatal(err)
	}

	ballast, err := os.Create(filepath.Join(dir, "ballast"))
	if err != nil {
		t.Fatal(err)
	}
	block := make([]byte, 1<<20)
	for {
		if _, err := ballast.Write(block); err != nil {
			break // full
		}
	}
	ballast.Close()

	var acknowledged []string
	text := strings.Repeat("many words ", 20_000)
	failed := error(nil)
	for i := 0; failed == nil && i < 1000; i++ {
		name := fmt.Sprintf("t%04d", i)
		creating, cancel := context.WithTimeout(ctx, 30*time.Second)
		_, failed = s.Client.TightbeamV1().Turns(namespace).Create(creating, harness.NewTurn(name, "c", text), metav1.CreateOptions{})
		cancel()
		if failed == nil {
			acknowledged = append(acknowledged, name)
		}
		if failed != nil && strings.Contains(failed.Error(), "queue of conversation") {
			failed = nil
			time.Sleep(50 * time.Millisecond)
		}
	}
	if failed == nil {
		t.Fatal("the disk never filled up: the test proves nothing")
	}
	t.Logf("%d turns acknowledged before: %v", len(acknowledged), failed)
	deadline := time.Now().Add(30 * time.Second)
	for s.Ready() == nil {
		if time.Now().After(deadline) {
			t.Fatal("the disk is full and the server says that it is ready")
		}
		time.Sleep(50 * time.Millisecond)
	}

	s.Kill()
	if err := os.Remove(ballast.Name()); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT, "size=2g,mode=0700"); err != nil {
		t.Fatal(err)
	}
	s.Restart()
	for _, name := range acknowledged {
		deadline := time.Now().Add(60 * time.Second)
		for {
			turn, err := s.Client.TightbeamV1().Turns(namespace).Get(ctx, name, metav1.GetOptions{})
			if err != nil {
				t.Fatalf("turn %s was acknowledged: %v", name, err)
			}
			if turn.Status.Phase == tightbeamv1.TurnSucceeded {
				break
			}
			if turn.Status.Phase.Terminal() || time.Now().After(deadline) {
				t.Fatalf("turn %s is %s: %+v", name, turn.Status.Phase, turn.Status.Error)
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	turns := map[string]*tightbeamv1.Turn{}
	list, err := s.Client.TightbeamV1().Turns(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range list.Items {
		turns[list.Items[i].Name] = &list.Items[i]
	}
	checkLog(t, s, "c", turns)
}
