// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package local

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"k8s.io/client-go/tools/cache"

	"safebeam.dev/safebeam/pkg/launcher"
	"safebeam.dev/safebeam/pkg/llmjob"
)

// The test binary is also the job: what it does is the name of its model.
func TestMain(m *testing.M) {
	if os.Getenv(llmjob.EnvJobID) != "" {
		os.Exit(fakeJob(os.Getenv(llmjob.EnvModelName)))
	}
	if server := os.Getenv(envServer); server != "" {
		dir, gateway, _ := strings.Cut(server, " ")
		os.Exit(fakeServer(dir, gateway))
	}
	os.Exit(m.Run())
}

func fakeJob(model string) int {
	flags := map[string]string{}
	for _, argument := range os.Args[1:] {
		name, value, _ := strings.Cut(strings.TrimPrefix(argument, "--"), "=")
		flags[name] = value
	}
	say := func(message string) {
		_ = os.WriteFile(flags[llmjob.FlagTerminationMessagePath], []byte(message), 0o600)
	}
	stop := make(chan os.Signal, 1)
	if model != "default-signals" {
		signal.Notify(stop, syscall.SIGTERM)
	}
	switch model {
	case "idle":
		return llmjob.ExitOK
	case "bad-secret":
		say(llmjob.ReasonSecretInvalid + `: key "api-key" is missing`)
		return llmjob.ExitSecretInvalid
	case "crash":
		say("out of luck")
		return llmjob.ExitFailure
	case "mute-crash":
		return llmjob.ExitFailure
	case "describe":
		fmt.Println(strings.Join(os.Environ(), "\n"))
		fmt.Println(strings.Join(os.Args, "\n"))
		fmt.Println("group", syscall.Getpgrp() == os.Getpid())
	case "noisy":
		line := bytes.Repeat([]byte("x"), 1<<16)
		for range 2 * maxLog / len(line) {
			os.Stdout.Write(line)
		}
	case "stubborn":
		signal.Ignore(syscall.SIGTERM)
		fmt.Println("ready")
		select {}
	case "crash-when-asked":
		fmt.Println("ready")
		<-stop
		return llmjob.ExitFailure
	}
	fmt.Println("ready")
	<-stop
	return llmjob.ExitOK
}

// tokens is a gateway's list of who may come in.
type tokens struct {
	mu     sync.Mutex
	issued int
	valid  map[string]Identity
}

func (t *tokens) IssueToken(identity Identity) (string, func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.issued++
	token := fmt.Sprintf("token-%d-of-%s", t.issued, identity.Job)
	return token, t.add(token, identity)
}

func (t *tokens) RestoreToken(identity Identity, token string) func() {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.add(token, identity)
}

func (t *tokens) add(token string, identity Identity) func() {
	if t.valid == nil {
		t.valid = map[string]Identity{}
	}
	t.valid[token] = identity
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.valid, token)
	}
}

func (t *tokens) list() map[string]Identity {
	t.mu.Lock()
	defer t.mu.Unlock()
	valid := map[string]Identity{}
	for token, identity := range t.valid {
		valid[token] = identity
	}
	return valid
}

type fixture struct {
	*Launcher
	tokens  *tokens
	changes chan cache.ObjectName
	end     func()
}

// start runs a launcher until the test ends.
func start(t *testing.T, options Options) *fixture {
	t.Helper()
	f := &fixture{tokens: &tokens{}, changes: make(chan cache.ObjectName, 1000)}
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	options.Binary = binary
	options.Tokens = f.tokens
	if options.Dir == "" {
		options.Dir = filepath.Join(t.TempDir(), "jobs")
	}
	if options.SecretsDir == "" {
		options.SecretsDir = filepath.Join(t.TempDir(), "secrets")
	}
	if options.GatewayAddress == "" {
		options.GatewayAddress = "127.0.0.1:1"
	}
	if options.ShutdownGrace == 0 {
		options.ShutdownGrace = 5 * time.Second
	}
	f.Launcher, err = New(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	f.Notify(func(model cache.ObjectName) { f.changes <- model })
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx) }()
	f.end = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(f.end)
	return f
}

func (f *fixture) launch(t *testing.T, name, model string) *job {
	t.Helper()
	err := f.Launch(t.Context(), launcher.Job{Name: name, Spec: specOf(model)})
	if err != nil {
		t.Fatal(err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.jobs[name]
}

func specOf(model string) launcher.JobSpec {
	return launcher.JobSpec{Namespace: "default", Model: model, IdleTimeout: time.Minute, TurnsPerJob: 8}
}

func (f *fixture) exit(t *testing.T, j *job) launcher.Exit {
	t.Helper()
	select {
	case <-j.gone:
	case <-time.After(30 * time.Second):
		t.Fatalf("job %s does not end", j.Name)
	}
	for _, listed := range f.List(modelOf(j.Spec)) {
		if listed.Name == j.Name {
			return *listed.Exit
		}
	}
	t.Fatalf("exited job %s is not listed", j.Name)
	panic("unreachable")
}

// output waits until the job has written the text.
func output(t *testing.T, j *job, text string) string {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		raw, _ := os.ReadFile(filepath.Join(j.dir, logFile))
		if strings.Contains(string(raw), text) {
			return string(raw)
		}
	}
	t.Fatalf("job %s does not say %q", j.Name, text)
	panic("unreachable")
}

func TestExitBecomesReasonAndMessage(t *testing.T) {
	t.Parallel()
	f := start(t, Options{})
	for _, test := range []struct{ model, reason, message string }{
		{"idle", launcher.ReasonCompleted, "job ended: exit status 0"},
		{"bad-secret", launcher.ReasonSecretInvalid, `key "api-key" is missing`},
		{"crash", launcher.ReasonJobFailed, "out of luck"},
		{"mute-crash", launcher.ReasonJobFailed, "job ended: exit status 1"},
	} {
		t.Run(test.model, func(t *testing.T) {
			exit := f.exit(t, f.launch(t, "job-"+test.model, test.model))
			if exit.Reason != test.reason || exit.Message != test.message {
				t.Errorf("exit is %q %q, want %q %q", exit.Reason, exit.Message, test.reason, test.message)
			}
			if model := <-f.changes; model.Name != test.model {
				t.Errorf("told of a change of %s, want %s", model.Name, test.model)
			}
		})
	}
}

func TestKilledJobIsAFailure(t *testing.T) {
	t.Parallel()
	f := start(t, Options{})
	j := f.launch(t, "job", "wait")
	output(t, j, "ready")
	j.process.signalGroup(sigKill)
	if exit := f.exit(t, j); exit.Reason != launcher.ReasonJobFailed || exit.Message != "job ended: signal: killed" {
		t.Errorf("exit is %q %q", exit.Reason, exit.Message)
	}
}

func TestJobRunsApartAndKnowsNoMoreThanItNeeds(t *testing.T) {
	t.Setenv("ANTHROPIC_API_KEY", "canary-1")
	t.Setenv("KUBECONFIG", "canary-2")
	t.Setenv("HTTPS_PROXY", "http://proxy.example:3128")
	secrets := t.TempDir()
	makeSecret(t, secrets, "anthropic", "canary-3")
	f := start(t, Options{SecretsDir: secrets, GatewayAddress: "127.0.0.1:4711"})
	spec := specOf("describe")
	spec.SecretName = "anthropic"
	if err := f.Launch(t.Context(), launcher.Job{Name: "job", Spec: spec}); err != nil {
		t.Fatal(err)
	}
	f.mu.Lock()
	j := f.jobs["job"]
	f.mu.Unlock()
	said := output(t, j, "ready")
	for _, want := range []string{
		"TIGHTBEAM_CONTROLLER_ADDR=127.0.0.1:4711", "TIGHTBEAM_MODEL_NAME=describe", "TIGHTBEAM_JOB_ID=job",
		"HTTPS_PROXY=http://proxy.example:3128", "--idle-timeout=1m0s", "--turns-per-job=8",
		"--secret-dir=" + filepath.Join(secrets, "anthropic"), "group true",
	} {
		if !strings.Contains(said, want) {
			t.Errorf("the job does not know %s", want)
		}
	}
	for _, canary := range []string{"canary", "KUBECONFIG", "token-1"} {
		if strings.Contains(said, canary) {
			t.Errorf("the job's environment or arguments have %s:\n%s", canary, said)
		}
	}
	info, err := os.Stat(filepath.Join(j.dir, tokenFile))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("token file: %v %v, want mode 0600", info, err)
	}
}

func TestTokenIsRevokedWhenTheJobIsGone(t *testing.T) {
	t.Parallel()
	f := start(t, Options{})
	j := f.launch(t, "job", "wait")
	want := Identity{Role: RoleLLMJob, Namespace: "default", Name: "wait", Job: "job"}
	if valid := f.tokens.list(); len(valid) != 1 || valid["token-1-of-job"] != want {
		t.Fatalf("valid tokens are %v", valid)
	}
	if err := f.Stop(t.Context(), "job"); err != nil {
		t.Fatal(err)
	}
	f.exit(t, j)
	if valid := f.tokens.list(); len(valid) != 0 {
		t.Errorf("valid tokens are %v", valid)
	}
	if _, err := os.Stat(filepath.Join(j.dir, tokenFile)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("token file: %v, want that it is gone", err)
	}
}

func TestStopLetsTheJobLeaveByItself(t *testing.T) {
	t.Parallel()
	for _, model := range []string{"wait", "crash-when-asked"} {
		t.Run(model, func(t *testing.T) {
			f := start(t, Options{})
			j := f.launch(t, "job", model)
			output(t, j, "ready")
			if err := f.Stop(t.Context(), "job"); err != nil {
				t.Fatal(err)
			}
			if listed := f.List(modelOf(j.Spec)); len(listed) != 1 || listed[0].Live() {
				t.Errorf("listed after Stop: %+v, want one that is not live", listed)
			}
			if exit := f.exit(t, j); exit.Failed() {
				t.Errorf("exit is %q %q, want no failure: it was asked to leave", exit.Reason, exit.Message)
			}
			if err := f.Forget(t.Context(), "job"); err != nil {
				t.Fatal(err)
			}
			if listed := f.List(modelOf(j.Spec)); len(listed) != 0 {
				t.Errorf("listed after Forget: %v", listed)
			}
		})
	}
}

func TestStubbornJobIsKilledAfterTheGrace(t *testing.T) {
	t.Parallel()
	t.Run("when it is stopped", func(t *testing.T) {
		f := start(t, Options{DrainGrace: 50 * time.Millisecond})
		j := f.launch(t, "job", "stubborn")
		output(t, j, "ready")
		if err := f.Stop(t.Context(), "job"); err != nil {
			t.Fatal(err)
		}
		if exit := f.exit(t, j); exit.Failed() {
			t.Errorf("exit is %v", exit)
		}
	})
	t.Run("when the launcher ends", func(t *testing.T) {
		f := start(t, Options{ShutdownGrace: 50 * time.Millisecond})
		j := f.launch(t, "job", "stubborn")
		output(t, j, "ready")
		f.end()
		select {
		case <-j.gone:
		default:
			t.Error("Run returned before the job had ended")
		}
		if err := f.Launch(t.Context(), launcher.Job{Name: "late", Spec: specOf("wait")}); err == nil {
			t.Error("a job was launched after the end")
		}
	})
}

func TestLogIsBounded(t *testing.T) {
	t.Parallel()
	f := start(t, Options{})
	j := f.launch(t, "job", "noisy")
	output(t, j, "ready")
	f.capLogs(t.Context())
	for _, name := range []string{logFile, oldLogFile} {
		info, err := os.Stat(filepath.Join(j.dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Size() > maxLog {
			t.Errorf("%s has %d bytes, want at most %d", name, info.Size(), maxLog)
		}
	}
}

func TestDirectoriesOfExitedJobsAreFew(t *testing.T) {
	t.Parallel()
	f := start(t, Options{})
	running := f.launch(t, "running", "wait")
	for i := range keptJobs + 3 {
		// The race detector lets an exit of 0 take a second, and no other.
		j := f.launch(t, fmt.Sprintf("job-%d", i), "mute-crash")
		f.exit(t, j)
		if err := f.Forget(t.Context(), j.Name); err != nil {
			t.Fatal(err)
		}
	}
	entries, err := os.ReadDir(f.options.Dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != keptJobs+1 {
		t.Errorf("%d directories, want those of %d exited jobs and of the running one", len(entries), keptJobs)
	}
	if _, err := os.Stat(running.dir); err != nil {
		t.Error(err)
	}
}

func TestMissingProgramIsNamed(t *testing.T) {
	t.Parallel()
	f := start(t, Options{})
	f.options.Binary = "/nonexistent/safebeam-llm-job"
	err := f.Launch(t.Context(), launcher.Job{Name: "job", Spec: specOf("wait")})
	if err == nil || !strings.Contains(err.Error(), "/nonexistent/safebeam-llm-job") {
		t.Errorf("error is %v", err)
	}
	if valid := f.tokens.list(); len(valid) != 0 {
		t.Errorf("valid tokens are %v", valid)
	}
	if _, err := FindBinary("/nonexistent/safebeam-llm-job"); err == nil || !strings.Contains(err.Error(), "--llm-job-binary") {
		t.Errorf("error is %v", err)
	}
}

func makeSecret(t *testing.T, root, name, key string) {
	t.Helper()
	dir := filepath.Join(root, name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for file, value := range map[string]string{"provider": "anthropic", "model": "m", "api-key": key} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(value), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestSecretNameLeadsNowhereElse(t *testing.T) {
	t.Parallel()
	f := start(t, Options{})
	if err := os.Mkdir(filepath.Join(filepath.Dir(f.options.SecretsDir), "outside"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"..", ".", "../outside", "a/b", "a/../../outside", "/etc", ".hidden", "A", "a\x00b", strings.Repeat("a", 254)} {
		spec := specOf("wait")
		spec.SecretName = name
		var refusal *launcher.Refusal
		if _, err := f.Revision(spec); !errors.As(err, &refusal) || refusal.Reason != launcher.ReasonSecretNotFound {
			t.Errorf("secretName %q: %v, want a refusal", name, err)
		}
		if err := f.Launch(t.Context(), launcher.Job{Name: "job", Spec: spec}); err == nil {
			t.Errorf("secretName %q: a job was launched", name)
		}
	}
}

func TestMissingSecretIsRefusedAndHealsWhenItIsMade(t *testing.T) {
	t.Parallel()
	f := start(t, Options{})
	spec := specOf("wait")
	spec.SecretName = "late"
	var refusal *launcher.Refusal
	if _, err := f.Revision(spec); !errors.As(err, &refusal) || !strings.Contains(refusal.Message, filepath.Join(f.options.SecretsDir, "late")) {
		t.Fatalf("error is %v, want a refusal that names the directory", err)
	}
	makeSecret(t, f.options.SecretsDir, "late", "key")
	if model := <-f.changes; model != modelOf(spec) {
		t.Errorf("told of a change of %v", model)
	}
	first, err := f.Revision(spec)
	if err != nil || first == "" {
		t.Fatalf("revision %q, %v", first, err)
	}
	// Another key of the same length.
	drain(f.changes)
	makeSecret(t, f.options.SecretsDir, "late", "kez")
	<-f.changes
	second, err := f.Revision(spec)
	if err != nil || second == first {
		t.Errorf("revision %q after a change, was %q: %v", second, first, err)
	}
}

func drain(changes chan cache.ObjectName) {
	for len(changes) > 0 {
		<-changes
	}
}

// envServer makes the test binary a process that launches a job and waits to
// be killed. Its value is the job's directory and the gateway's address.
const envServer = "LAUNCHER_TEST_SERVER"

func fakeServer(dir, gateway string) int {
	binary, err := os.Executable()
	if err != nil {
		return 1
	}
	l, err := New(context.Background(), Options{
		Binary: binary, Dir: dir, SecretsDir: dir + "-secrets", GatewayAddress: gateway, Tokens: &tokens{},
	})
	if err == nil {
		err = l.Launch(context.Background(), launcher.Job{Name: "job", Spec: specOf("wait")})
	}
	fmt.Println(err)
	select {}
}

// orphanedJob has a launcher launch a job and kills the launcher.
func orphanedJob(t *testing.T, dir, gateway string) record {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), envServer+"="+dir+" "+gateway)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil || line != "<nil>\n" {
		t.Fatalf("launching in another process: %q, %v", line, err)
	}
	output(t, &job{dir: filepath.Join(dir, "job")}, "ready")
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	r, err := readRecord(filepath.Join(dir, "job"))
	if err != nil {
		t.Fatal(err)
	}
	if identity, err := identifyProcess(r.PID); err != nil || identity != r.Process {
		t.Fatalf("the job did not outlive its launcher: %q, %v", identity, err)
	}
	return r
}

func TestJobOfAKilledLauncherIsTakenOver(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "jobs")
	r := orphanedJob(t, dir, "127.0.0.1:1")

	f := start(t, Options{Dir: dir, GatewayAddress: "127.0.0.1:1"})
	listed := f.List(modelOf(r.Job.Spec))
	if len(listed) != 1 || !listed[0].Live() || listed[0].Spec.Hash() != specOf("wait").Hash() || !listed[0].StartTime.Equal(r.Job.StartTime) {
		t.Fatalf("listed %+v, want the job as it was: %+v", listed, r.Job)
	}
	if models := f.Models(); !slices.Equal(models, []cache.ObjectName{modelOf(r.Job.Spec)}) {
		t.Errorf("models are %v", models)
	}
	if _, valid := f.tokens.list()["token-1-of-job"]; !valid {
		t.Error("the job's token is not valid any more")
	}
	f.mu.Lock()
	j := f.jobs["job"]
	f.mu.Unlock()
	if err := f.Stop(t.Context(), "job"); err != nil {
		t.Fatal(err)
	}
	if exit := f.exit(t, j); exit.Failed() {
		t.Errorf("exit is %v", exit)
	}
	if valid := f.tokens.list(); len(valid) != 0 {
		t.Errorf("valid tokens are %v", valid)
	}
}

func TestJobOfAKilledLauncherWithAnotherGatewayIsEnded(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "jobs")
	r := orphanedJob(t, dir, "127.0.0.1:1")
	f := start(t, Options{Dir: dir, GatewayAddress: "127.0.0.1:2"})
	if models := f.Models(); len(models) != 0 {
		t.Errorf("took over jobs of %v", models)
	}
	if identity, err := identifyProcess(r.PID); err == nil && identity == r.Process {
		t.Error("the job is still there")
	}
}

func TestRecordOfAnotherProcessIsNotTakenOver(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	identity, err := identifyProcess(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for name, r := range map[string]record{
		"reused": {PID: os.Getpid(), Process: identity + "0"},
		"gone":   {PID: 1 << 30, Process: identity},
	} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := writeRecord(filepath.Join(dir, name), r); err != nil {
			t.Fatal(err)
		}
	}
	f := start(t, Options{Dir: dir})
	if models := f.Models(); len(models) != 0 {
		t.Errorf("took over jobs of %v", models)
	}
}
