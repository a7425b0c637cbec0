// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package sandboxes

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// Network is what a guest might want to reach.
type Network struct {
	// Targets are host:port that have to be out of reach.
	Targets []string
	// Names are those that must not resolve.
	Names []string
}

// probe connects to a target and says what came of it; a refusal by the target
// itself would be a reply, and tells that it was reached.
const probe = `
import socket, sys
host, port = sys.argv[1].rsplit(":", 1)
try:
    s = socket.create_connection((host.strip("[]"), int(port)), timeout=3)
    print("REACHED")
except ConnectionRefusedError:
    print("REPLIED" if sys.argv[2] == "strict" else "closed: refused")
except OSError as e:
    print("closed:", e)
`

// AttackNetwork tries to get out. strict takes a refused connection for a reply:
// where denied traffic is rejected, the reply is not the target's.
func (u *User) AttackNetwork(t *testing.T, sandbox string, n Network, strict bool) {
	mode := "lenient"
	if strict {
		mode = "strict"
	}
	for _, target := range n.Targets {
		t.Run("connect to "+target, func(t *testing.T) {
			t.Parallel()
			output, err := u.Exec(t.Context(), sandbox, Command{Argv: []string{"python3", "-c", probe, target, mode}})
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(output.Stdout, "closed") {
				t.Errorf("%s: %q, %q", target, output.Stdout, output.Stderr)
			}
		})
	}
	for _, name := range n.Names {
		t.Run("resolve "+name, func(t *testing.T) {
			t.Parallel()
			output, err := u.Exec(t.Context(), sandbox, Command{Argv: []string{"python3", "-c", fmt.Sprintf("import socket\ntry: print('RESOLVED', socket.getaddrinfo(%q, 443))\nexcept OSError as e: print('closed:', e)", name)}})
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(output.Stdout, "closed") {
				t.Errorf("%s: %q, %q", name, output.Stdout, output.Stderr)
			}
		})
	}
}

// KillSandboxd is the attack that gVisor does not hold off: it lets a process kill
// PID 1 of its container.
const KillSandboxd = "kill sandboxd"

// escapes are scripts of the guest that have to print nothing but "denied", a
// line for each thing that they try.
var escapes = map[string]string{
	"become root":               `(su -c id || sudo -n id) >/dev/null 2>&1 && echo ROOT; [ "$(id -u)" = 0 ] && echo ROOT; echo denied`,
	"write to the system":       `for f in /usr/bin/python3 /etc/passwd /etc/shadow /bin/sh /usr/lib/x; do (echo x >> $f) 2>/dev/null && echo "WROTE $f"; done; echo denied`,
	"mount":                     `mkdir -p /tmp/m; mount -t tmpfs none /tmp/m 2>/dev/null && echo MOUNTED; mount --bind / /tmp/m 2>/dev/null && echo MOUNTED; echo denied`,
	"make a namespace":          `unshare -Ur id 2>/dev/null | grep -q uid=0 && echo UNSHARED; echo denied`,
	"look at other processes":   `for p in /proc/[0-9]*; do grep -qa -e kube -e containerd -e "safebeam standalone" -e etcd $p/cmdline 2>/dev/null && [ "$(basename $p)" != $$ ] && tr "\\0" " " < $p/cmdline | grep -v "sh -c" ; done; echo denied`,
	"read the kernel's memory":  `for f in /dev/mem /dev/kmem /proc/kcore /dev/sda /dev/vda /dev/loop0; do head -c 1 $f >/dev/null 2>&1 && echo "READ $f"; done; echo denied`,
	"find the container engine": `for f in /run/containerd/containerd.sock /var/run/docker.sock /run/crio/crio.sock /var/run/dbus/system_bus_socket; do [ -e $f ] && echo "FOUND $f"; done; echo denied`,
	"set the clock":             `date -s 2001-01-01 >/dev/null 2>&1 && echo SET; echo denied`,
	"change the kernel":         `(echo 1 > /proc/sys/kernel/core_pattern) 2>/dev/null && echo WROTE; (echo c > /proc/sysrq-trigger) 2>/dev/null && echo WROTE; (echo x > /sys/kernel/uevent_helper) 2>/dev/null && echo WROTE; echo denied`,
	KillSandboxd:                `kill -9 1 2>/dev/null; kill -STOP 1 2>/dev/null; kill -TERM 1 2>/dev/null; echo denied`,
	"read sandboxd's memory":    `head -c 1 /proc/1/mem >/dev/null 2>&1 && echo READ; cat /proc/1/environ 2>/dev/null | grep -q . && echo READ; echo denied`,
	"leave by a link":           `ln -sf /etc/shadow /tmp/shadow; cat /tmp/shadow 2>/dev/null && echo READ; echo denied`,
	"see the cluster's token":   `ls /var/run/secrets/kubernetes.io 2>/dev/null && echo FOUND; env | grep -i -e kubernetes_ -e token && echo FOUND; echo denied`,
}

// AttackEscapes tries to get out of what holds the guest, by all but the attacks
// that are named.
func (u *User) AttackEscapes(t *testing.T, sandbox string, but ...string) {
	for name, script := range escapes {
		if slices.Contains(but, name) {
			continue
		}
		t.Run(name, func(t *testing.T) {
			output := u.Sh(t, sandbox, script)
			if output.Stdout != "denied\n" {
				t.Errorf("stdout %q, stderr %q", output.Stdout, output.Stderr)
			}
			if alive := u.Sh(t, sandbox, "echo alive"); alive.Stdout != "alive\n" {
				t.Errorf("the sandbox answers %q after it", alive.Stdout)
			}
		})
	}
}

// paths are those that files must not be read from or written to.
var paths = []string{
	"/etc/passwd", "/proc/1/environ", "/workspace/../etc/passwd", "/workspace/%2e%2e/etc/passwd", "/workspace/..%2fetc%2fpasswd",
	"/workspace/out/passwd", "/", "/run/safebeam/gateway/token", "/dev/null", "/workspace/proc/environ",
}

// AttackPaths tries to leave the writable paths by files.
func (u *User) AttackPaths(t *testing.T, sandbox string) {
	u.Sh(t, sandbox, "ln -sfn /etc /workspace/out; ln -sfn /proc/self /workspace/proc")
	for _, path := range paths {
		for _, method := range []string{"GET", "PUT", "DELETE"} {
			t.Run(method+" "+path, func(t *testing.T) {
				status, body, _ := u.File(t, method, sandbox, path, strings.NewReader("x"), nil)
				if status < 400 || status >= 500 {
					t.Errorf("%d: %.200s", status, body)
				}
				if strings.Contains(string(body), "root:") {
					t.Errorf("it has %.200s", body)
				}
			})
		}
	}
}
