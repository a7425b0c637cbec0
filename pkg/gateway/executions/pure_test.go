// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package executions

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"unicode/utf8"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/pkg/gateway/sandboxes"
	sandboxpb "safebeam.dev/safebeam/proto/sandbox/v1"
)

// FuzzCapture holds the laws of what a status says of a stream, whatever chunks a
// sandboxd makes up: it counts all, it is bounded, it is JSON, and what is not
// truncated is whole.
func FuzzCapture(f *testing.F) {
	f.Add([]byte("hello"), uint16(0), uint16(3), uint64(5))
	f.Add(bytes.Repeat([]byte("é"), 40000), uint16(1000), uint16(7), uint64(0))
	f.Add([]byte{0xff, 0, 0xe2, 0x82}, uint16(0), uint16(1), uint64(1<<63))
	f.Fuzz(func(t *testing.T, data []byte, gap, piece uint16, total uint64) {
		var c capture
		offset := uint64(0)
		for i := 0; len(data) > 0; i++ {
			n := min(int(piece)+1, len(data))
			if i == 2 {
				offset += uint64(gap)
			}
			c.add(offset, data[:n])
			offset += uint64(n)
			data = data[n:]
		}
		if len(c.head) > statusHead || len(c.tail) > statusTail {
			t.Fatalf("%d and %d bytes are kept", len(c.head), len(c.tail))
		}
		out := c.output(total)
		if out == nil {
			if offset > 0 || total > 0 {
				t.Fatal("nothing is said of something")
			}
			return
		}
		if out.TotalBytes < int64(offset) || out.TotalBytes > 1<<62 {
			t.Errorf("%d bytes of %d", out.TotalBytes, offset)
		}
		if !utf8.ValidString(out.Head) || !utf8.ValidString(out.Tail) || out.Tail != "" && !out.Truncated {
			t.Errorf("%+v", out)
		}
		if !out.Truncated && int64(len(c.head)+len(c.tail)) != out.TotalBytes {
			t.Errorf("%d bytes of %d are all", len(c.head)+len(c.tail), out.TotalBytes)
		}
		encoded, err := json.Marshal(out)
		if err != nil || len(encoded) > 6*(statusHead+statusTail)+200 || 2*len(encoded) > statusBytes {
			t.Errorf("%d bytes of JSON: %v", len(encoded), err)
		}
	})
}

func TestACharacterIsNotCutInTwo(t *testing.T) {
	t.Parallel()
	var c capture
	c.add(0, []byte(strings.Repeat("€", statusHead))) // three bytes, which no bound divides
	out := c.output(0)
	if !out.Truncated || strings.ContainsRune(out.Head, utf8.RuneError) || strings.ContainsRune(out.Tail, utf8.RuneError) {
		t.Errorf("truncated %v, %q … %q", out.Truncated, out.Head[len(out.Head)-8:], out.Tail[:8])
	}
}

func TestOutcomes(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		got           outcome
		phase, reason string
		code          *int32
	}{
		"success":             {exited(sandboxes.Exit{Reason: sandboxpb.Exited_FINISHED}, ""), "Succeeded", "Completed", ptr.To[int32](0)},
		"exit code":           {exited(sandboxes.Exit{Reason: sandboxpb.Exited_FINISHED, Code: 2}, ""), "Failed", "NonZeroExitCode", ptr.To[int32](2)},
		"signal":              {exited(sandboxes.Exit{Reason: sandboxpb.Exited_FINISHED, Code: 139, Signal: syscall.SIGSEGV}, ""), "Failed", "Signaled", ptr.To[int32](139)},
		"timeout":             {exited(sandboxes.Exit{Reason: sandboxpb.Exited_TIMED_OUT, Code: 143, Signal: syscall.SIGTERM}, ""), "TimedOut", "DeadlineExceeded", ptr.To[int32](124)},
		"memory":              {exited(sandboxes.Exit{Reason: sandboxpb.Exited_MEMORY, Code: 137, Signal: syscall.SIGKILL}, ""), "Failed", "OOMKilled", ptr.To[int32](137)},
		"pids":                {exited(sandboxes.Exit{Reason: sandboxpb.Exited_PIDS, Code: 137, Signal: syscall.SIGKILL}, ""), "Failed", "ProcessLimitExceeded", ptr.To[int32](137)},
		"cancelled":           {exited(sandboxes.Exit{Reason: sandboxpb.Exited_STOPPED, Code: 143, Signal: syscall.SIGTERM}, "by me"), "Cancelled", "Cancelled", ptr.To[int32](143)},
		"ended before cancel": {exited(sandboxes.Exit{Reason: sandboxpb.Exited_FINISHED}, "by me"), "Succeeded", "Completed", ptr.To[int32](0)},
		"stopped by nobody":   {exited(sandboxes.Exit{Reason: sandboxpb.Exited_STOPPED, Code: 143}, ""), "Failed", "Stopped", ptr.To[int32](143)},
		"nonsense":            {exited(sandboxes.Exit{Reason: 99, Code: -5}, ""), "Failed", "NonZeroExitCode", ptr.To[int32](-5)},
		"no such command":     {notStarted(&sandboxes.StartError{Reason: sandboxpb.NotStarted_NOT_FOUND}, false), "Failed", "CommandNotFound", ptr.To[int32](127)},
		"no interpreter":      {notStarted(&sandboxes.StartError{Reason: sandboxpb.NotStarted_NOT_FOUND}, true), "Failed", "InterpreterNotFound", ptr.To[int32](127)},
		"away from the first": {broken(sandboxes.ErrNotConnected, false), "Failed", "SandboxUnreachable", nil},
		"away on the way":     {broken(sandboxes.ErrLost, true), "Lost", "ProcessLost", nil},
		"a lying sandboxd":    {broken(errors.Join(sandboxes.ErrMisbehaved), true), "Lost", "AgentMisbehaved", nil},
		"no sandbox":          {sandboxOver(nil), "Lost", "SandboxDeleted", nil},
		"a lost sandbox":      {sandboxOver(&v1.Sandbox{Status: v1.SandboxStatus{Phase: v1.SandboxLost, Reason: "NodeLost"}}), "Lost", "NodeLost", nil},
		"a deleted sandbox":   {sandboxOver(&v1.Sandbox{ObjectMeta: metav1.ObjectMeta{DeletionTimestamp: &metav1.Time{}}}), "Lost", "SandboxDeleted", nil},
	} {
		if string(c.got.phase) != c.phase || c.got.reason != c.reason || ptr.Deref(c.got.exitCode, -99) != ptr.Deref(c.code, -99) {
			t.Errorf("%s: %+v", name, c.got)
		}
	}
}

func TestCodeRunsAsIfItLayInTheWorkingDirectory(t *testing.T) {
	t.Parallel()
	for language, c := range map[string]struct{ code, module, content, want, aptPackage string }{
		"python":     {"import mine, sys\nprint(mine.x, len(sys.argv), __name__)", "mine.py", "x = 41", "41 1 __main__\n", "python3"},
		"javascript": {`const m = require("./mine"); console.log(m.x, process.argv.length, require.main === module)`, "mine.js", "exports.x = 41", "41 2 true\n", "nodejs"},
		"bash":       {". ./mine.sh; echo $x $#", "mine.sh", "x=41", "41 0\n", ""},
		"sh":         {". ./mine.sh; echo $x $#", "mine.sh", "x=41", "41 0\n", ""},
		"perl":       {"use mine; print $mine::x, \"\\n\"", "mine.pm", "package mine; our $x = 41; 1;", "41\n", "perl"},
	} {
		t.Run(language, func(t *testing.T) {
			t.Parallel()
			by, ok := interpreterOf(language)
			if !ok {
				t.Fatal("no such language")
			}
			if _, err := exec.LookPath(by.argv[0]); err != nil && c.aptPackage != "" {
				t.Skipf("%v: apt-get install %s", err, c.aptPackage)
			} else if err != nil {
				t.Fatal(err) // the build itself needs it
			}
			work, elsewhere := t.TempDir(), t.TempDir()
			write(t, work+"/"+c.module, c.content)
			write(t, elsewhere+"/"+by.file, c.code)
			cmd := exec.Command(by.argv[0], append(by.argv[1:], elsewhere+"/"+by.file)...)
			cmd.Dir = work
			cmd.Env = cmd.Environ()
			for _, v := range interpreterEnv(by, &v1.Sandbox{}, &v1.ExecutionSpec{WorkingDir: work}) {
				cmd.Env = append(cmd.Env, v.Name+"="+v.Value)
			}
			out, err := cmd.CombinedOutput()
			if err != nil || string(out) != c.want {
				t.Errorf("%v: %q", err, out)
			}
		})
	}
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}
