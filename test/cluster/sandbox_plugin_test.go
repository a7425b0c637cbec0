// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// pluginDir has kubectl's plugin, once buildPlugin has made it; TestMain removes it.
var pluginDir string

var buildPlugin = sync.OnceValue(func() (err error) {
	if pluginDir, err = os.MkdirTemp("", "safebeam-plugins-"); err != nil {
		return err
	}
	build := exec.Command("go", "build", "-o", filepath.Join(pluginDir, "kubectl-sandbox"), "./cmd/safebeam")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	return nil
})

// plugin is `kubectl sandbox`, as its users call it.
func plugin(t *testing.T, namespace string, args ...string) *exec.Cmd {
	t.Helper()
	if err := buildPlugin(); err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), "kubectl", append([]string{"sandbox", "-n", namespace}, args...)...)
	command.Env = append(os.Environ(), "KUBECONFIG="+kubeconfig, "PATH="+pluginDir+":"+os.Getenv("PATH"))
	return command
}

// pluginUser is somebody who uses it in a namespace.
type pluginUser struct {
	t         *testing.T
	namespace string
}

// run runs it to its end, with the exit code that it should have.
func (p pluginUser) run(want int, input string, args ...string) (stdout, stderr string) {
	p.t.Helper()
	command := plugin(p.t, p.namespace, args...)
	var out, err bytes.Buffer
	command.Stdin, command.Stdout, command.Stderr = strings.NewReader(input), &out, &err
	if problem := command.Run(); command.ProcessState == nil || command.ProcessState.ExitCode() != want {
		p.t.Errorf("kubectl sandbox %s: %v, want the exit code %d\n%s%s", strings.Join(args, " "), problem, want, &out, &err)
	}
	return out.String(), err.String()
}

// The plugin goes through the cluster's own API server, with its users' rights and
// its timeouts.
func TestKubectlSandboxThroughTheClustersAPIServer(t *testing.T) {
	user := sandboxUser(t)
	p := pluginUser{t, user.Namespace}

	// A sandbox for one command, which is gone after it.
	if out, _ := p.run(3, "", "run", "--runtime", "python:3.10", "--", "python3", "-c", "print(6 * 7); exit(3)"); out != "42\n" {
		t.Errorf("run printed %q", out)
	}
	noPods(t, user.Namespace)

	user.Running(t, "box", small)
	if out, _ := p.run(0, "", "ls"); !strings.Contains(out, "box") || !strings.Contains(out, "Running") {
		t.Errorf("ls printed\n%s", out)
	}
	if out, _ := p.run(0, "shout\n", "exec", "-i", "box", "--", "tr", "a-z", "A-Z"); out != "SHOUT\n" {
		t.Errorf("exec printed %q", out)
	}
	if _, stderr := p.run(127, "", "exec", "box", "--", "/no/such/program"); !strings.Contains(stderr, "/no/such/program") {
		t.Errorf("exec of nothing says %q", stderr)
	}

	// Files go and come, folders with them.
	from := t.TempDir()
	big := bytes.Repeat([]byte("0123456789abcdef"), 1<<18) // 4 MiB
	for name, content := range map[string][]byte{"one": []byte("1"), "folder/big": big} {
		path := filepath.Join(from, "data", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	p.run(0, "", "cp", filepath.Join(from, "data"), "box:/workspace/")
	if out, _ := p.run(0, "", "ls", "-l", "box:/workspace/data/folder"); !strings.Contains(out, "big") || !strings.Contains(out, fmt.Sprint(len(big))) && !strings.Contains(out, "4") {
		t.Errorf("ls of a folder printed\n%s", out)
	}
	to := t.TempDir()
	p.run(0, "", "cp", "box:/workspace/data", to)
	if back, err := os.ReadFile(filepath.Join(to, "data/folder/big")); err != nil || !bytes.Equal(back, big) {
		t.Errorf("%d bytes came back, %v", len(back), err)
	}

	// An execution survives whoever asked for it.
	name, _ := p.run(0, "", "run", "box", "--detach", "--", "sh", "-c", "for i in 1 2 3; do echo $i; sleep 1; done")
	name = strings.TrimPrefix(strings.TrimSpace(name), "execution.llmsafespace.dev/")
	if out, _ := p.run(0, "", "logs", "-f", strings.Fields(name)[0]); out != "1\n2\n3\n" {
		t.Errorf("logs of %q printed %q", name, out)
	}
}

// exec -it is a terminal: what is typed is echoed and run, sizes arrive, the exit
// code is the shell's.
func TestKubectlSandboxExecIsATerminal(t *testing.T) {
	user := sandboxUser(t)
	user.Running(t, "box", small)
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skip("needs terminals:", err)
	}
	defer master.Close()
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	terminal, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetWinsize(int(master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Col: 97, Row: 31}); err != nil {
		t.Fatal(err)
	}
	command := plugin(t, user.Namespace, "exec", "-it", "box", "--", "bash", "--norc")
	command.Stdin, command.Stdout, command.Stderr = terminal, terminal, terminal
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	terminal.Close()
	var mu sync.Mutex
	var seen strings.Builder
	go func() {
		part := make([]byte, 4096)
		for {
			n, err := master.Read(part)
			mu.Lock()
			seen.Write(part[:n])
			mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	expect := func(text string) {
		t.Helper()
		eventually(t, 30*time.Second, func(context.Context) error {
			mu.Lock()
			defer mu.Unlock()
			if !strings.Contains(seen.String(), text) {
				return fmt.Errorf("%q is not in %q", text, seen.String())
			}
			return nil
		})
	}
	say := func(line string) {
		t.Helper()
		if _, err := master.WriteString(line + "\r"); err != nil {
			t.Fatal(err)
		}
	}
	expect("$ ")
	say("stty size")
	expect("31 97")
	if err := unix.IoctlSetWinsize(int(master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Col: 80, Row: 25}); err != nil {
		t.Fatal(err)
	}
	eventually(t, 20*time.Second, func(context.Context) error {
		say("stty size")
		time.Sleep(300 * time.Millisecond)
		mu.Lock()
		defer mu.Unlock()
		if !strings.Contains(seen.String(), "25 80") {
			return fmt.Errorf("the new size is not in %q", seen.String())
		}
		return nil
	})
	say("sleep 1000")
	time.Sleep(500 * time.Millisecond)
	if _, err := master.WriteString("\x03"); err != nil { // Ctrl-C is the guest's
		t.Fatal(err)
	}
	say("echo still $((40+2))")
	expect("still 42")
	say("exit 7")
	_ = command.Wait()
	if code := command.ProcessState.ExitCode(); code != 7 {
		t.Errorf("it ended with %d:\n%s", code, seen.String())
	}
}
