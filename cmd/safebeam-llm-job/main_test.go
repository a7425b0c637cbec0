// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"safebeam.dev/safebeam/pkg/llmjob"
	"safebeam.dev/safebeam/pkg/provider"
)

const canary = "sk-canary-0123456789abcdef"

func environment(vars map[string]string) func(string) string {
	return func(name string) string { return vars[name] }
}

var seedEnv = map[string]string{llmjob.EnvControllerAddr: "127.0.0.1:1", llmjob.EnvModelName: "m", llmjob.EnvJobID: "j"}

func TestFlagsAndTheSeedsEnvironment(t *testing.T) {
	t.Parallel()
	cfg, path, err := parse([]string{"--model-name=other", "--idle-timeout=0", "--turns-per-job", "3", "--secret-dir="}, environment(seedEnv), os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	if cfg.ControllerAddr != "127.0.0.1:1" || cfg.ModelName != "other" || cfg.JobID != "j" || cfg.IdleTimeout != 0 || cfg.TurnsPerJob != 3 || cfg.SecretDir != "" || path != llmjob.DefaultTerminationMessagePath {
		t.Errorf("%+v, %s", cfg, path)
	}
	cfg, _, err = parse(nil, environment(seedEnv), os.Stderr)
	if err != nil || cfg.SecretDir != "/run/secrets/llm" || cfg.IdleTimeout.Seconds() != 300 || cfg.TurnsPerJob != 8 {
		t.Errorf("defaults: %+v, %v", cfg, err)
	}
	for _, args := range [][]string{{"--turns-per-job=0"}, {"--idle-timeout=-1s"}, {"--no-such-flag"}, {"stray"}, {"--model-name="}, {"--controller-addr="}, {"--provider-idle-timeout=0"}} {
		var out strings.Builder
		if code := run(args, environment(seedEnv), &out); code != llmjob.ExitUsage {
			t.Errorf("%v: exit %d, %s", args, code, out.String())
		}
	}
}

func TestInvalidSecretLeavesItsNameBehind(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, v := range map[string]string{"provider": "anthropic", "api-key": canary} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(v), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	message := filepath.Join(t.TempDir(), "termination")
	var log strings.Builder
	code := run([]string{"--secret-dir", dir, "--termination-message-path", message}, environment(seedEnv), &log)
	left, err := os.ReadFile(message)
	if err != nil {
		t.Fatal(err)
	}
	if code != llmjob.ExitSecretInvalid || !strings.HasPrefix(string(left), "SecretInvalid: ") || !strings.Contains(string(left), `"model"`) {
		t.Errorf("exit %d, message %q", code, left)
	}
	if strings.Contains(log.String()+string(left), "canary") {
		t.Error("the key shows")
	}
}

func TestUnknownProviderIsNamed(t *testing.T) {
	t.Parallel()
	_, err := factory(nil)("oracle", provider.Config{})
	if err == nil || !strings.Contains(err.Error(), "oracle") {
		t.Errorf("%v", err)
	}
	for _, name := range []string{provider.Anthropic, provider.OpenAI, provider.Gemini, provider.Echo} {
		if p, err := factory(nil)(name, provider.Config{Key: provider.NewKey("k")}); err != nil || p == nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The SDKs hold clients for half of the internet; they, and the API keys they
// are given, belong in this one process.
func TestProviderSDKsAreLinkedIntoThisCommandAlone(t *testing.T) {
	t.Parallel()
	sdks := []string{"github.com/anthropics/anthropic-sdk-go", "github.com/openai/openai-go/v3/responses", "google.golang.org/genai"}
	deps := func(pkg string) string {
		t.Helper()
		out, err := exec.Command("go", "list", "-deps", pkg).Output()
		if err != nil {
			t.Fatalf("go list -deps %s: %v", pkg, err)
		}
		return "\n" + string(out)
	}
	mine := deps("safebeam.dev/safebeam/cmd/safebeam-llm-job")
	for _, sdk := range sdks {
		if !strings.Contains(mine, "\n"+sdk+"\n") {
			t.Errorf("%s is not linked here: the check below would prove nothing", sdk)
		}
	}
	if strings.Contains(mine, "\ngithub.com/openai/openai-go/v3\n") {
		t.Error("the root package of openai-go is linked: it takes minutes to compile")
	}
	// Everything that is no command of this kind: the other commands, and the
	// packages that they are made of.
	out, err := exec.Command("go", "list", "-e", "-f", "{{.ImportPath}}", "safebeam.dev/safebeam/cmd/...", "safebeam.dev/safebeam/pkg/...").Output()
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	var others []string
	for _, pkg := range strings.Fields(string(out)) {
		if strings.HasSuffix(pkg, "/cmd/safebeam-llm-job") || strings.Contains(pkg, "/pkg/provider/") {
			continue
		}
		others = append(others, pkg)
		checked++
	}
	if checked < 2 {
		t.Fatalf("only %d packages to check", checked)
	}
	all, err := exec.Command("go", append([]string{"list", "-e", "-deps"}, others...)...).Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, sdk := range []string{"github.com/anthropics/", "github.com/openai/", "google.golang.org/genai"} {
		if strings.Contains(string(all), "\n"+sdk) {
			t.Errorf("%s is linked into something else than this command", sdk)
		}
	}
}
