// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package bubblewrap_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"safebeam.dev/safebeam/pkg/launcher/bubblewrap"
	sandboxpb "safebeam.dev/safebeam/proto/sandbox/v1"
)

// Each test here is an attack by the guest, carried out. perl is in every Debian and
// has syscall(), so it is the guest's tool.

// onAMD64 is for attacks that name system calls by number.
func onAMD64(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("the numbers of system calls are those of amd64")
	}
}

// stillServes is what every attack is followed by.
func stillServes(t *testing.T, s *bubblewrap.Sandbox, run func(script string) string) {
	t.Helper()
	select {
	case <-s.Done():
		t.Fatalf("the sandbox is gone: %v", s.Err())
	default:
	}
	if got := run("echo alive"); got != "alive\n" {
		t.Fatalf("the sandbox answers %q", got)
	}
}

func TestTheGuestCannotKillSandboxd(t *testing.T) {
	t.Parallel()
	onAMD64(t)
	s, sb := newWorld(t).start(t, bubblewrap.Spec{})
	attacks := map[string]string{
		"every process it can see": "kill -9 -1",
		"by name":                  "kill -9 1",
	}
	for n := 1; n <= 64; n++ {
		attacks[fmt.Sprintf("signal %d", n)] = fmt.Sprintf("kill -%d 1; kill -%d 1", n, n)
	}
	for name, script := range attacks {
		t.Run(name, func(t *testing.T) {
			try(sb, "/bin/sh", "-c", script)
			stillServes(t, s, func(script string) string { return sh(t, sb, script).stdout })
		})
	}
	for n := 1; n <= 64; n++ {
		// To each of its threads, too.
		script := fmt.Sprintf(`for (glob "/proc/1/task/*") { m{(\d+)$}; syscall(234, 1, $1, %d) }`, n) // tgkill
		try(sb, "perl", "-e", script)
	}
	stillServes(t, s, func(script string) string { return sh(t, sb, script).stdout })
}

func TestTheGuestCannotLookIntoSandboxd(t *testing.T) {
	t.Parallel()
	onAMD64(t)
	s, sb := newWorld(t).start(t, bubblewrap.Spec{})
	for _, file := range []string{"mem", "environ", "maps", "smaps", "auxv", "stack", "syscall", "io", "pagemap", "exe", "root/etc/passwd", "cwd/.", "fd/.", "map_files/.", "ns/net"} {
		t.Run("/proc/1/"+file, func(t *testing.T) {
			r := sh(t, sb, "head -c 1 /proc/1/"+file+" 2>&1 >/tmp/loot || ls -d /proc/1/"+file+" >/tmp/loot 2>/dev/null; readlink /proc/1/"+file+" >> /tmp/loot; cat /tmp/loot")
			if strings.Trim(r.stdout, "\n") != "" && !strings.Contains(r.stdout, "denied") && !strings.Contains(r.stdout, "not permitted") && r.stdout != "/proc/1/"+file+"\n" {
				t.Errorf("read %q", r.stdout)
			}
		})
	}
	for name, script := range map[string]string{
		"PTRACE_ATTACH":      `exit(syscall(101, 16, 1, 0, 0) == -1 && $! == 1 ? 0 : 1)`,
		"PTRACE_SEIZE":       `exit(syscall(101, 0x4206, 1, 0, 0) == -1 && $! == 1 ? 0 : 1)`,
		"process_vm_readv":   `$b = "x" x 16; $iov = pack("PQ", $b, 16); exit(syscall(310, 1, $iov, 1, $iov, 1, 0) == -1 && $! == 1 ? 0 : 1)`,
		"pidfd_getfd":        `$p = syscall(434, 1, 0); exit(syscall(438, $p, 3, 0) == -1 && $! == 1 ? 0 : 1)`,
		"prlimit":            `$l = pack("QQ", 1, 1); exit(syscall(302, 1, 7, $l, 0) == -1 ? 0 : 1)`,
		"opening its memory": `exit(open(F, "+<", "/proc/1/mem") ? 1 : 0)`,
	} {
		t.Run(name, func(t *testing.T) {
			if r := run(t, sb, "perl", "-e", script); r.Code != 0 {
				t.Errorf("exit %+v, stderr %q", r.Exit, r.stderr)
			}
		})
	}
	stillServes(t, s, func(script string) string { return sh(t, sb, script).stdout })
}

func TestTheGuestRunsBehindSandboxdAndStaysThere(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		spec bubblewrap.Spec
		want string
	}{
		"with a processor of its own": {bubblewrap.Spec{MilliCPU: 500}, "19"},
		"on everybody's":              {bubblewrap.Spec{}, "5"},
	} {
		t.Run(name, func(t *testing.T) {
			s, sb := newWorld(t).start(t, c.spec)
			if c.spec.MilliCPU > 0 && !slices.Contains(s.Limits(), "cpu") {
				t.Skip("no cgroups can be made here")
			}
			// It is given a moment after the start.
			const behind = `for (1..500) { last if getpriority(0, 0) == $ARGV[0]; select(undef, undef, undef, 0.01) } `
			if r := run(t, sb, "perl", "-e", behind+`print getpriority(0, 0)`, c.want); r.stdout != c.want {
				t.Errorf("the guest's is %q, want %s", r.stdout, c.want)
			}
			nice := func(pid string) string {
				return sh(t, sb, `sed 's/.*) //' /proc/`+pid+`/stat | cut -d ' ' -f 17`).stdout
			}
			for attack, script := range map[string]string{
				"its user's":           `setpriority(2, 0, 19)`,
				"sandboxd's":           `setpriority(0, 1, 19)`,
				"that of its group":    `setpriority(1, 1, 19)`,
				"that of its threads":  `map { m{(\d+)$}; setpriority(0, $1, 19) } glob "/proc/1/task/*"`,
				"of all that it knows": `map { setpriority(0, $_, 19), setpriority(1, $_, 19) } 1..64`,
			} {
				run(t, sb, "perl", "-e", script)
				if got := nice("1"); got != "0\n" {
					t.Fatalf("sandboxd's is %q after an attack on %s", got, attack)
				}
			}
			if r := run(t, sb, "perl", "-e", behind+`setpriority(0, 0, 0); setpriority(1, 0, 0); print getpriority(0, 0)`, c.want); r.stdout != c.want {
				t.Errorf("the guest has %q now", r.stdout)
			}
		})
	}
}

func TestTheGuestCannotFindTheToken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, sb := w.start(t, bubblewrap.Spec{Name: "a-sandbox-with-a-secret"})
	r := sh(t, sb, `grep -rlas -- "token-a-sandbox-with-a-s""ecret" / --exclude-dir=sys --exclude-dir=usr --exclude-dir=self --exclude-dir=thread-self 2>/dev/null | grep -v "^/proc/[0-9]*/\(task/[0-9]*/\)\?cmdline" | head`)
	if r.stdout != "" {
		t.Errorf("the token is in %q", r.stdout)
	}
}

func TestAStolenTokenIsWorthNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s, sb := w.start(t, bubblewrap.Spec{Name: "victim"})
	// Suppose that the guest knows the token all the same, and has a sandboxd.
	r := sh(t, sb, `echo token-victim > /tmp/token; timeout 20 /run/safebeam/sandboxd --gateway=unix:/run/safebeam/gateway.sock --ca-file=/run/safebeam/ca.pem \
		--server-name=gateway.safebeam.test --token-file=/tmp/token --writable-path=/tmp 2>&1; echo exit $?`)
	if !strings.Contains(r.stdout, "refused by the gateway: DUPLICATE") || !strings.HasSuffix(r.stdout, "exit 2\n") {
		t.Errorf("the second sandboxd says %q", r.stdout)
	}
	if w.refused.Load() == 0 {
		t.Error("the second connection was not reported")
	}
	stillServes(t, s, func(script string) string { return sh(t, sb, script).stdout })
}

func TestAFloodOfConnectionsHarmsNobodyElse(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s, sb := w.start(t, bubblewrap.Spec{Name: "flooder"})
	go try(sb, "perl", "-MSocket", "-e", `for (1..400) { socket($s[$_], PF_UNIX, SOCK_STREAM, 0); connect($s[$_], pack_sockaddr_un("/run/safebeam/gateway.sock")); syswrite($s[$_], "x" x 100) } sleep 5`)
	_, other := w.start(t, bubblewrap.Spec{Name: "other"})
	if got := sh(t, other, "echo fine").stdout; got != "fine\n" {
		t.Errorf("the other sandbox says %q", got)
	}
	stillServes(t, s, func(script string) string { return sh(t, sb, script).stdout })
}

func TestAForkBombEndsAndSandboxdLives(t *testing.T) {
	t.Parallel()
	s, sb := newWorld(t).start(t, bubblewrap.Spec{Pids: 128})
	for range 2 {
		// Every process forks on as long as it can.
		r, err := try(sb, "perl", "-e", `while (1) { fork }`)
		if err != nil {
			t.Fatal(err)
		}
		if r.Reason != sandboxpb.Exited_PIDS {
			t.Errorf("exit %+v", r.Exit)
		}
		stillServes(t, s, func(script string) string { return sh(t, sb, script).stdout })
	}
}

func TestAThreadBombEndsAndSandboxdLives(t *testing.T) {
	t.Parallel()
	s, sb := newWorld(t).start(t, bubblewrap.Spec{Pids: 128})
	// clone(CLONE_VM|CLONE_FS|CLONE_FILES|CLONE_SIGHAND|CLONE_THREAD) without a
	// stack would crash; processes that sleep fill the limit as well.
	r, err := try(sb, "/bin/sh", "-c", "while :; do sleep 1000 & done")
	if err != nil {
		t.Fatal(err)
	}
	if r.Reason != sandboxpb.Exited_PIDS && !strings.Contains(r.stderr, "fork") {
		t.Errorf("exit %+v %s", r.Exit, r.stderr)
	}
	stillServes(t, s, func(script string) string { return sh(t, sb, script).stdout })
}

func TestMemoryEndsTheGuestAndSandboxdLives(t *testing.T) {
	t.Parallel()
	s, sb := newWorld(t).start(t, bubblewrap.Spec{MemoryBytes: 128 << 20})
	t.Logf("limits by cgroup: %v", s.Limits())
	for name, script := range map[string]string{
		"at once":           `$x = "x" x (1 << 30); sleep 10`,
		"little by little":  `while (1) { push @a, "x" x (1 << 20) }`,
		"in many processes": `for (1..3) { fork } while (1) { push @a, "x" x (1 << 18) }`,
	} {
		t.Run(name, func(t *testing.T) {
			r, err := try(sb, "perl", "-e", script)
			if err != nil {
				t.Fatal(err)
			}
			if r.Reason != sandboxpb.Exited_MEMORY && r.Signal != syscall.SIGKILL {
				t.Errorf("exit %+v, stderr %q", r.Exit, r.stderr)
			}
			stillServes(t, s, func(script string) string { return sh(t, sb, script).stdout })
		})
	}
	health, err := sb.Health(context.Background())
	if err != nil || health.GuardKills == 0 || !strings.Contains(health.LastGuardReason, "memory") {
		t.Errorf("health %v, %v", health, err)
	}
}

func TestAFullDiskHarmsTheGuestAlone(t *testing.T) {
	t.Parallel()
	s, sb := newWorld(t).start(t, bubblewrap.Spec{DiskBytes: 32 << 20})
	for _, dir := range []string{"/workspace", "/tmp", "/dev/shm"} {
		r := sh(t, sb, "head -c 1G /dev/zero > "+dir+"/full 2>/dev/null; stat -c %s "+dir+"/full")
		var size int
		if fmt.Sscan(r.stdout, &size); size == 0 || size > 32<<20 {
			t.Errorf("%s takes %d bytes", dir, size)
		}
	}
	stillServes(t, s, func(script string) string { return sh(t, sb, script).stdout })
	part := func() error {
		_, _, err := sb.WritePart(context.Background(), partOf("/workspace/upload", 1<<20), strings.NewReader(strings.Repeat("x", 1<<20)))
		return err
	}
	if err := part(); err == nil || !strings.Contains(err.Error(), "no space left") {
		t.Errorf("uploading to a full disk: %v", err)
	}
	if err := sb.Delete(context.Background(), "/workspace/full", false); err != nil {
		t.Fatal(err)
	}
	if err := part(); err != nil {
		t.Errorf("uploading after there is room: %v", err)
	}
}

func TestOutputWithoutEndIsCapped(t *testing.T) {
	t.Parallel()
	s, sb := newWorld(t).start(t, bubblewrap.Spec{})
	r := sh(t, sb, "head -c 300M /dev/zero; head -c 2M /dev/zero >&2")
	if r.StdoutBytes != 300<<20 || r.StderrBytes != 2<<20 || len(r.stdout) != 1<<20 {
		t.Errorf("counted %d and %d, got %d", r.StdoutBytes, r.StderrBytes, len(r.stdout))
	}
	health, err := sb.Health(context.Background())
	if err != nil || health.AgentRssBytes > 40<<20 {
		t.Errorf("sandboxd uses %d bytes, %v", health.GetAgentRssBytes(), err)
	}
	stillServes(t, s, func(script string) string { return sh(t, sb, script).stdout })
}

func TestTheGuestReachesNoNetwork(t *testing.T) {
	t.Parallel()
	_, sb := newWorld(t).start(t, bubblewrap.Spec{})
	if r := sh(t, sb, `tail -n +3 /proc/net/dev | grep -v ' lo:'; tail -n +2 /proc/net/route; cat /proc/net/unix | grep -c '@'`); strings.TrimSpace(r.stdout) != "0" {
		t.Errorf("interfaces, routes, abstract sockets: %q", r.stdout)
	}
	for _, address := range []string{"169.254.169.254:80", "10.96.0.1:443", "1.1.1.1:53", "127.0.0.1:22", "127.0.0.1:6443"} {
		host, port, _ := strings.Cut(address, ":")
		r := run(t, sb, "perl", "-MSocket", "-e", `socket(S, PF_INET, SOCK_STREAM, 0) or exit 3; alarm 5; exit(connect(S, pack_sockaddr_in($ARGV[1], inet_aton($ARGV[0]))) ? 1 : 0)`, host, port)
		if r.Code != 0 {
			t.Errorf("connecting to %s: exit %+v", address, r.Exit)
		}
	}
	for family, number := range map[string]int{"vsock": 40, "packet": 17, "alg": 38, "bluetooth": 31, "xdp": 44, "tipc": 30, "key": 15} {
		r := run(t, sb, "perl", "-e", `exit(socket(S, $ARGV[0], 1, 0) || $! != 97 ? 1 : 0)`, fmt.Sprint(number)) // EAFNOSUPPORT
		if r.Code != 0 {
			t.Errorf("a socket of the family %s: exit %+v", family, r.Exit)
		}
	}
	if r := run(t, sb, "perl", "-e", `exit(socket(S, 16, 3, 9) ? 1 : 0)`); r.Code != 0 {
		t.Error("a netlink socket of the audit family")
	}
}

func TestTheGuestHasNoPrivilegesAndGetsNone(t *testing.T) {
	t.Parallel()
	onAMD64(t)
	_, sb := newWorld(t).start(t, bubblewrap.Spec{})
	r := sh(t, sb, `grep -E '^(CapInh|CapPrm|CapEff|CapBnd|CapAmb|NoNewPrivs|Seccomp):' /proc/self/status | tr -d '\t'`)
	want := "CapInh:0000000000000000\nCapPrm:0000000000000000\nCapEff:0000000000000000\nCapBnd:0000000000000000\nCapAmb:0000000000000000\nNoNewPrivs:1\nSeccomp:2\n"
	if r.stdout != want {
		t.Errorf("got %q", r.stdout)
	}
	const eperm, enosys = 1, 38
	for name, c := range map[string]struct {
		call  string
		errno int
	}{
		"unshare(NEWUSER)":    {"272, 0x10000000", eperm},
		"unshare(NEWNS)":      {"272, 0x00020000", eperm},
		"clone(NEWUSER)":      {"56, 0x10000011, 0, 0, 0, 0", eperm},
		"clone3":              {"435, 0, 0", enosys},
		"mount":               {`165, str("none"), str("/tmp"), str("tmpfs"), 0, 0`, eperm},
		"umount":              {`166, str("/proc"), 2`, eperm},
		"pivot_root":          {`155, str("/"), str("/")`, eperm},
		"chroot":              {`161, str("/tmp")`, eperm},
		"setns":               {"308, 0, 0", eperm},
		"fsopen":              {`430, str("tmpfs"), 0`, eperm},
		"open_tree":           {`428, -100, str("/"), 1`, eperm},
		"move_mount":          {`429, -1, str(""), -1, str(""), 0`, eperm},
		"bpf":                 {"321, 0, 0, 0", eperm},
		"perf_event_open":     {"298, 0, 0, 0, 0, 0", eperm},
		"io_uring_setup":      {"425, 1, 0", eperm},
		"userfaultfd":         {"323, 0", eperm},
		"keyctl":              {"250, 0, -3, 0, 0, 0", eperm},
		"add_key":             {`248, str("user"), str("x"), str("y"), 1, -3`, eperm},
		"open_by_handle_at":   {"304, 0, 0, 0", eperm},
		"name_to_handle_at":   {`303, -100, str("/"), 0, 0, 0`, eperm},
		"kexec_load":          {"246, 0, 0, 0, 0", eperm},
		"init_module":         {"175, 0, 0, 0", eperm},
		"reboot":              {"169, 0xfee1dead, 672274793, 0", eperm},
		"sethostname":         {`170, str("x"), 1`, eperm},
		"settimeofday":        {"164, 0, 0", eperm},
		"syslog":              {"103, 3, 0, 0", eperm},
		"quotactl":            {"179, 0, 0, 0, 0", eperm},
		"ioctl(TIOCSTI)":      {`16, 0, 0x5412, str("x")`, eperm},
		"prctl(SET_MM)":       {"157, 35, 1, 0, 0, 0", eperm},
		"personality(odd)":    {"135, 0x0400000", eperm},
		"a call to come":      {"472", enosys},
		"a call of x32":       {"0x40000000", enosys},
		"setuid(0)":           {"105, 0", 22},
		"socketpair(netlink)": {"53, 16, 3, 0, 0", 97},
	} {
		t.Run(name, func(t *testing.T) {
			r := run(t, sb, "perl", "-e", "sub str { my $x = shift; $x } $r = syscall("+c.call+"); print $r, ' ', $!+0")
			if r.stdout != fmt.Sprintf("-1 %d", c.errno) {
				t.Errorf("got %q, stderr %q, exit %+v", r.stdout, r.stderr, r.Exit)
			}
		})
	}
}

func TestTheGuestSeesNothingOfTheHost(t *testing.T) {
	t.Parallel()
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	_, sb := newWorld(t).start(t, bubblewrap.Spec{})
	if r := sh(t, sb, "ls -A /"); r.stdout != "bin\ndev\netc\nlib\nlib32\nlib64\nlibx32\nproc\nrun\nsbin\ntmp\nusr\nworkspace\n" {
		for _, name := range strings.Fields(r.stdout) {
			switch name {
			case "bin", "dev", "etc", "lib", "lib32", "lib64", "libx32", "proc", "run", "sbin", "tmp", "usr", "workspace":
			default:
				t.Errorf("/%s is there", name)
			}
		}
	}
	for _, path := range []string{secret, "/etc/shadow", "/root", "/home", "/var", "/sys", "/run/safebeam/token", "/proc/1/root/etc", "/proc/kcore", "/dev/mem", "/dev/kvm"} {
		if r := sh(t, sb, "cat "+path+" 2>/dev/null || ls "+path+" 2>/dev/null"); r.stdout != "" {
			t.Errorf("%s: %.100q", path, r.stdout)
		}
	}
	for _, path := range []string{"/usr/x", "/etc/x", "/x", "/run/x", "/run/safebeam/x", "/dev/x", "/proc/sys/kernel/hostname", "/run/safebeam/sandboxd", "/etc/passwd"} {
		if r := sh(t, sb, "echo x 2>/dev/null > "+path); r.Code == 0 {
			t.Errorf("%s could be written", path)
		}
	}
	if r := sh(t, sb, "ls /proc | grep -c '^[0-9]'"); strings.TrimSpace(r.stdout) > "5" {
		t.Errorf("%s processes are visible", r.stdout)
	}
}

func TestSandboxesDoNotSeeEachOther(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, one := w.start(t, bubblewrap.Spec{Name: "one"})
	_, two := w.start(t, bubblewrap.Spec{Name: "two"})
	sh(t, one, "echo secret > /workspace/f; echo secret > /tmp/f; echo secret > /dev/shm/f")
	if r := sh(t, two, "cat /workspace/f /tmp/f /dev/shm/f 2>/dev/null"); r.stdout != "" {
		t.Errorf("two reads %q", r.stdout)
	}
	if r := sh(t, one, `perl -e '$id = shmget(4242, 4096, 01666); print defined $id ? "made" : "not"'`); r.stdout != "made" {
		t.Fatalf("one: %q", r.stdout)
	}
	if r := sh(t, two, `perl -e '$id = shmget(4242, 4096, 0666); print defined $id ? "found" : "not"'`); r.stdout != "not" {
		t.Errorf("two finds one's System V memory")
	}
}

// A 32-bit program has other numbers for the same calls.
func TestCallsOfAnotherArchitectureAreDeadly(t *testing.T) {
	t.Parallel()
	onAMD64(t)
	_, sb := newWorld(t).start(t, bubblewrap.Spec{})
	dir := t.TempDir()
	source := filepath.Join(dir, "main.go")
	if err := os.WriteFile(source, []byte("package main\nfunc main() { println(\"32\") }\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	build := exec.Command("go", "build", "-o", filepath.Join(dir, "program"), source)
	build.Env = append(os.Environ(), "GOARCH=386", "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	program, err := os.Open(filepath.Join(dir, "program"))
	if err != nil {
		t.Fatal(err)
	}
	defer program.Close()
	info, _ := program.Stat()
	part := partOf("/workspace/program", uint64(info.Size()))
	part.Mode = 0o755
	if _, _, err := sb.WritePart(context.Background(), part, program); err != nil {
		t.Fatal(err)
	}
	if r := run(t, sb, "/workspace/program"); r.Signal != syscall.SIGSYS {
		t.Errorf("exit %+v, stderr %q", r.Exit, r.stderr)
	}
}

func TestSandboxdKilledFromOutsideLosesItsProcesses(t *testing.T) {
	t.Parallel()
	s, sb := newWorld(t).start(t, bubblewrap.Spec{})
	go func() {
		time.Sleep(200 * time.Millisecond)
		s.Kill()
	}()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	_, err := sb.Run(ctx, commandOf("sleep", "1000"), streamsOf(nil))
	if err == nil {
		t.Error("a process of a dead sandbox has an exit")
	}
}
