// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"safebeam.dev/safebeam/pkg/apiserver/servertest"
	"safebeam.dev/safebeam/pkg/sandboxd/sandboxdtest"
)

func TestMain(m *testing.M) {
	sandboxdtest.Main()
	os.Exit(m.Run())
}

const namespace = "agents"

// kubeconfig of a server, as its users have one.
func kubeconfig(t *testing.T, config *rest.Config) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "kubeconfig")
	err := clientcmd.WriteToFile(clientcmdapi.Config{
		Clusters:       map[string]*clientcmdapi.Cluster{"c": {Server: config.Host, CertificateAuthorityData: config.CAData}},
		AuthInfos:      map[string]*clientcmdapi.AuthInfo{"u": {Token: config.BearerToken}},
		Contexts:       map[string]*clientcmdapi.Context{"x": {Cluster: "c", AuthInfo: "u", Namespace: namespace}},
		CurrentContext: "x",
	}, file)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// user calls the command as its users do.
type user struct {
	t      *testing.T
	config string
}

// calls returns the exit code and what the command writes.
func (u user) calls(stdin io.Reader, args ...string) (code int, out, errOut string) {
	u.t.Helper()
	var stdout, stderr bytes.Buffer
	if stdin == nil {
		stdin = strings.NewReader("")
	}
	err := u.run(genericiooptions.IOStreams{In: stdin, Out: &stdout, ErrOut: &stderr}, args...)
	if err != nil {
		fmt.Fprintf(&stderr, "%v\n", err)
		var ran bool
		if code, ran = exitCode(err); !ran {
			code = -1
		}
	}
	return code, stdout.String(), stderr.String()
}

// completes asks how a line goes on.
func (u user) completes(args ...string) string {
	var stdout, stderr bytes.Buffer
	command := New("kubectl sandbox", genericiooptions.IOStreams{In: strings.NewReader(""), Out: &stdout, ErrOut: &stderr})
	command.SetArgs(append([]string{cobra.ShellCompRequestCmd}, args...))
	command.SetOut(&stdout)
	command.SetErr(&stderr)
	if err := command.ExecuteContext(u.t.Context()); err != nil {
		u.t.Error(err)
	}
	return stdout.String()
}

func (u user) run(streams genericiooptions.IOStreams, args ...string) error {
	command := New("kubectl sandbox", streams)
	command.SetArgs(append(args[:1:1], append([]string{"--kubeconfig", u.config}, args[1:]...)...))
	command.SetOut(streams.Out)
	command.SetErr(streams.ErrOut)
	command.SilenceUsage, command.SilenceErrors = true, true
	return command.ExecuteContext(u.t.Context())
}

// begin starts a server with a sandbox and returns its user.
func begin(t *testing.T) (user, *servertest.Sandbox) {
	t.Helper()
	s := servertest.Start(t, servertest.Settings{Sandboxes: true})
	return user{t, kubeconfig(t, s.Client)}, s.NewSandbox(t, namespace, "box")
}

func TestACommandHasTheStreamsAndGivesTheExitCode(t *testing.T) {
	t.Parallel()
	u, _ := begin(t)
	for _, test := range []struct {
		name  string
		stdin string
		args  []string
		code  int
		out   string
		says  string
	}{
		{"output", "", []string{"exec", "box", "--", "sh", "-c", "echo out; echo err >&2"}, 0, "out\n", "err\n"},
		{"exit code", "", []string{"exec", "box", "--", "sh", "-c", "exit 3"}, 3, "", "command terminated with exit code 3"},
		{"standard input", "a\nb\n", []string{"exec", "-i", "box", "--", "wc", "-l"}, 0, "2\n", ""},
		{"no standard input unless asked for", "a\n", []string{"exec", "box", "--", "cat"}, 0, "", ""},
		{"flags of the command are its own", "", []string{"exec", "box", "--", "echo", "-n", "--help"}, 0, "--help", ""},
		{"a terminal without one here", "a\n", []string{"exec", "-it", "box", "--", "cat"}, 0, "a\n", "Unable to use a TTY"},
		{"no such command", "", []string{"exec", "box", "--", "nowhere-at-all"}, 127, "", "nowhere-at-all"},
		{"no such sandbox", "", []string{"exec", "bix", "--", "true"}, -1, "", `sandboxes.llmsafespace.dev "bix" not found`},
		{"no sandbox", "", []string{"exec", "--", "true"}, -1, "", "NAME is missing"},
		{"no command", "", []string{"exec", "box"}, -1, "", "COMMAND is missing"},
		{"no dashes", "", []string{"exec", "box", "true"}, -1, "", "two dashes"},
		{"a name that is a path", "", []string{"exec", "../x", "--", "true"}, -1, "", "sandbox"},
	} {
		t.Run(test.name, func(t *testing.T) {
			u.t = t
			code, out, errOut := u.calls(strings.NewReader(test.stdin), test.args...)
			if code != test.code || out != test.out || !strings.Contains(errOut, test.says) || test.says == "" && errOut != "" {
				t.Errorf("%d, %q, %q; want %d, %q, %q", code, out, errOut, test.code, test.out, test.says)
			}
		})
	}
}

func TestFilesGoInAndOut(t *testing.T) {
	t.Parallel()
	u, box := begin(t)
	here, there := t.TempDir(), box.Workspace
	write := func(name, content string) string {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		return name
	}
	holds := func(name, content string) {
		t.Helper()
		if data, err := os.ReadFile(name); err != nil || string(data) != content {
			t.Errorf("%s holds %.40q, %v", name, data, err)
		}
	}
	cp := func(stdin io.Reader, args ...string) string {
		t.Helper()
		code, out, errOut := u.calls(stdin, append([]string{"cp"}, args...)...)
		if code != 0 || errOut != "" {
			t.Errorf("cp %v: %d, %q", args, code, errOut)
		}
		return out
	}
	refused := func(says string, args ...string) {
		t.Helper()
		if code, _, errOut := u.calls(nil, append([]string{"cp"}, args...)...); code == 0 || !strings.Contains(errOut, says) {
			t.Errorf("cp %v: %d, %q; want an error about %q", args, code, errOut, says)
		}
	}
	box2 := func(name string) string { return "box:" + filepath.Join(there, name) }

	big := make([]byte, 24<<20)
	_, _ = rand.Read(big)
	file := write(filepath.Join(here, "data.bin"), string(big))
	cp(nil, file, box2("renamed.bin"))
	holds(filepath.Join(there, "renamed.bin"), string(big))
	cp(nil, file, box2("")+"/") // into the folder
	holds(filepath.Join(there, "data.bin"), string(big))
	cp(nil, box2("data.bin"), filepath.Join(here, "back.bin"))
	holds(filepath.Join(here, "back.bin"), string(big))

	tree := filepath.Join(here, "tree")
	write(filepath.Join(tree, "a"), "A")
	write(filepath.Join(tree, "deep", "ü b"), "B")
	if err := errors.Join(os.Symlink("deep/ü b", filepath.Join(tree, "link")), os.Mkdir(filepath.Join(tree, "empty"), 0o755), os.Chmod(filepath.Join(tree, "a"), 0o755)); err != nil {
		t.Fatal(err)
	}
	cp(nil, tree, box2("copy")) // as it
	holds(filepath.Join(there, "copy", "deep", "ü b"), "B")
	cp(nil, tree, box2("copy")) // now into it
	holds(filepath.Join(there, "copy", "tree", "a"), "A")
	out := filepath.Join(here, "out")
	cp(nil, box2("copy/tree"), out)
	holds(filepath.Join(out, "link"), "B")
	if info, err := os.Stat(filepath.Join(out, "a")); err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if _, err := os.Stat(filepath.Join(out, "empty")); err != nil {
		t.Error(err)
	}
	cp(nil, box2("copy/tree"), out)
	holds(filepath.Join(out, "tree", "a"), "A")

	cp(strings.NewReader("from a pipe"), "-", box2("piped"))
	holds(filepath.Join(there, "piped"), "from a pipe")
	if got := cp(nil, box2("piped"), "-"); got != "from a pipe" {
		t.Errorf("%q came out", got)
	}

	refused("No such file", box2("nowhere"), filepath.Join(here, "x"))
	refused("no such file", filepath.Join(here, "nowhere"), box2("x"))
	refused("Cannot open", file, box2("no/such/folder/x"))
	refused("is a folder", "-", box2("copy"))
	refused("must be in a sandbox", file, filepath.Join(here, "x"))
	refused("must be in a sandbox", "box:a", "box:b")
	refused("whole sandbox", "box:/", here)
	refused(`"bix" not found`, file, "bix:/workspace/x")
	if _, err := os.Lstat(filepath.Join(here, "x")); err == nil {
		t.Error("a copy that failed left a file")
	}
}

func TestListing(t *testing.T) {
	t.Parallel()
	u, box := begin(t)
	for i := range 3 {
		if err := os.WriteFile(filepath.Join(box.Workspace, fmt.Sprintf("f%d", i)), []byte("12345"), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Mkdir(filepath.Join(box.Workspace, "dir"), 0o755), os.WriteFile(filepath.Join(box.Workspace, "\x1b[31mred\nx"), nil, 0o644)); err != nil {
		t.Fatal(err)
	}
	if code, out, errOut := u.calls(nil, "ls", "box:"+box.Workspace); code != 0 || out != "?[31mred?x\ndir/\nf0\nf1\nf2\n" && out != "[31mred?x\ndir/\nf0\nf1\nf2\n" {
		t.Errorf("%d, %q, %q", code, out, errOut)
	}
	if code, out, errOut := u.calls(nil, "ls", "-l", "box:"+box.Workspace); code != 0 || !strings.Contains(out, "0640") || !strings.Contains(out, "   5   ") {
		t.Errorf("%d, %q, %q", code, out, errOut)
	}
	if code, out, errOut := u.calls(nil, "ls"); code != 0 || !strings.Contains(out, "box") || !strings.Contains(out, "Running") || !strings.Contains(out, servertest.Runtime) {
		t.Errorf("%d, %q, %q", code, out, errOut)
	}
	if code, out, _ := u.calls(nil, "ls", "-A"); code != 0 || !strings.Contains(out, namespace) {
		t.Errorf("%d, %q", code, out)
	}
	for says, args := range map[string][]string{
		"not found":   {"ls", "bix:/workspace"},
		"nowhere":     {"ls", "box:" + box.Workspace + "/nowhere"},
		"names files": {"ls", "-A", "box:/"},
	} {
		if code, out, errOut := u.calls(nil, args...); code == 0 || !strings.Contains(errOut, says) {
			t.Errorf("%v: %d, %q, %q", args, code, out, errOut)
		}
	}
	if code, out, _ := u.calls(nil, "ls", "box:"+box.Workspace+"/f0"); code == 0 {
		t.Errorf("a file was listed as a folder: %q", out)
	}
}
