// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package bubblewrap_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"safebeam.dev/safebeam/pkg/launcher/bubblewrap"
)

// Variables of a server that is a process of its own, in order to be killed.
const (
	variableMark     = "SAFEBEAM_TEST_MARK"  // makes the test binary the server, and is in its sandboxes' command lines
	variableState    = "SAFEBEAM_TEST_STATE" // its StateDir
	variableSandboxd = "SAFEBEAM_TEST_SANDBOXD_PATH"
	// variableKills is how many servers are killed.
	variableKills = "SAFEBEAM_TEST_KILLS"
)

// TestServerToBeKilled is that server: it starts sandboxes and ends them, for ever.
func TestServerToBeKilled(t *testing.T) {
	mark := os.Getenv(variableMark)
	if mark == "" {
		t.Skip("the server of TestNothingOutlivesAServerThatIsKilled")
	}
	w := newWorldAt(t, os.Getenv(variableState))
	var starters sync.WaitGroup
	for i := range 4 {
		starters.Go(func() {
			for n := 0; ; n++ {
				ctx, cancel := context.WithCancel(context.Background())
				s, err := w.launcher.Start(ctx, bubblewrap.Spec{Name: fmt.Sprintf("s-%d-%d", i, n), Token: "x", Env: []string{"MARK=" + mark}})
				if err != nil {
					t.Error(err)
					cancel()
					return
				}
				fmt.Println("started")
				time.Sleep(rand.N(20 * time.Millisecond))
				cancel()
				<-s.Done()
			}
		})
	}
	starters.Wait()
}

// A server is killed while it starts sandboxes, at every stage of that. Every sandboxd
// goes with it, and no cgroup of it is left once there is another server: nor is a
// bwrap that was not given the word to go on by another one that was killed first.
func TestNothingOutlivesAServerThatIsKilled(t *testing.T) {
	t.Parallel()
	kills := 12
	if n, err := strconv.Atoi(os.Getenv(variableKills)); err == nil {
		kills = n
	}
	state, err := os.MkdirTemp("", "sb-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(state) })
	os.Chmod(state, 0o711)
	for i := range kills {
		mark, dir := fmt.Sprintf("%s-%d", filepath.Base(state), i), filepath.Join(state, strconv.Itoa(i))
		killServer(t, mark, dir)
		expectNone(t, fmt.Sprintf("after kill %d", i+1), func() (left []string) {
			for pid, line := range marked(mark) {
				if strings.HasPrefix(line, "/run/safebeam/sandboxd ") {
					left = append(left, fmt.Sprint(pid, " ", line))
				}
			}
			return left
		})
		newWorldAt(t, dir)
		expectNone(t, fmt.Sprintf("after the server that came after kill %d", i+1), func() (left []string) {
			for pid, line := range marked(mark) {
				left = append(left, fmt.Sprint(pid, " ", line))
			}
			for _, parent := range bubblewrap.CgroupParents(dir) {
				if _, err := os.Stat(parent); err == nil {
					left = append(left, parent)
				}
			}
			return left
		})
	}
}

// expectNone gives the kernel time to end what was killed.
func expectNone(t *testing.T, when string, look func() []string) {
	t.Helper()
	var left []string
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if left = look(); len(left) == 0 {
			return
		}
	}
	t.Errorf("%s there is left:\n%s", when, strings.Join(left, "\n"))
}

// killServer starts a server and kills it a moment after its first sandbox.
func killServer(t *testing.T, mark, state string) {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestServerToBeKilled$")
	cmd.Env = append(os.Environ(), variableMark+"="+mark, variableState+"="+state, variableSandboxd+"="+sandboxd)
	said, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	first := make([]byte, 256)
	n, _ := said.Read(first)
	time.Sleep(rand.N(40 * time.Millisecond))
	cmd.Process.Kill()
	cmd.Wait()
	if !bytes.HasPrefix(first[:n], []byte("started\n")) {
		t.Fatalf("the server says %q", first[:n])
	}
}

// marked finds processes by their command lines, zombies excepted, which have none.
func marked(mark string) map[int]string {
	found := map[int]string{}
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		line, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
		if strings.Contains(string(line), "MARK="+mark+"\x00") {
			found[pid] = strings.ReplaceAll(string(line), "\x00", " ")
		}
	}
	return found
}
