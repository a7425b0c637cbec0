// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package llmjob

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"safebeam.dev/safebeam/pkg/provider"
	tightbeampb "safebeam.dev/safebeam/proto/tightbeam/v1"
)

const canary = "sk-canary-0123456789abcdef"

func writeSecret(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for k, v := range files {
		if err := os.WriteFile(filepath.Join(dir, k), []byte(v), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestSecretIsReadAndTrimmed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	writeSecret(t, dir, map[string]string{"provider": " anthropic\n", "model": "claude\r\n", "api-key": "\t" + canary + " \n", "max-tokens": "4096\n", "other": "ignored"})
	s, err := ReadSecret(dir)
	if err != nil {
		t.Fatal(err)
	}
	if s.Provider != "anthropic" || s.Model != "claude" || s.MaxTokens != 4096 || s.Key.Redact("x "+canary+" x") != "x [redacted] x" {
		t.Errorf("%+v", s)
	}
}

func TestBadSecretNamesItsKeyAndShowsNoValue(t *testing.T) {
	t.Parallel()
	whole := map[string]string{"provider": "anthropic", "model": "claude", "api-key": canary, "max-tokens": "1"}
	for name, tc := range map[string]struct {
		change string
		to     string
		remove bool
	}{
		"no provider": {"provider", "", true}, "no model": {"model", "", true}, "no key": {"api-key", "", true},
		"empty provider": {"provider", " \n", false}, "empty key": {"api-key", "\n", false},
		"a key of two lines":  {"api-key", canary + "\nsecond", false},
		"max-tokens of words": {"max-tokens", "many", false}, "max-tokens zero": {"max-tokens", "0", false}, "max-tokens negative": {"max-tokens", "-5", false},
		"max-tokens empty": {"max-tokens", "", false}, "max-tokens too large": {"max-tokens", "99999999999", false}, "max-tokens a fraction": {"max-tokens", "1.5", false},
	} {
		dir := t.TempDir()
		writeSecret(t, dir, whole)
		if tc.remove {
			_ = os.Remove(filepath.Join(dir, tc.change))
		} else {
			writeSecret(t, dir, map[string]string{tc.change: tc.to})
		}
		err := Run(t.Context(), Config{SecretDir: dir, TurnsPerJob: 1, ControllerAddr: "127.0.0.1:1", ModelName: "m"})
		var se *SecretError
		if !errors.As(err, &se) || se.Key != tc.change {
			t.Errorf("%s: %v", name, err)
			continue
		}
		code, msg := ExitCode(err)
		if code != ExitSecretInvalid || !strings.HasPrefix(msg, "SecretInvalid: ") || !strings.Contains(msg, fmt.Sprintf("%q", tc.change)) || strings.Contains(msg, "canary") {
			t.Errorf("%s: exit %d, %q", name, code, msg)
		}
	}
	if _, err := ReadSecret(filepath.Join(t.TempDir(), "absent")); err == nil || !strings.Contains(err.Error(), `"provider"`) {
		t.Errorf("no directory: %v", err)
	}
}

// The resource wins over the Secret; what neither says has a default.
func TestResourceWinsOverTheSecret(t *testing.T) {
	t.Parallel()
	s := &Secret{Provider: "anthropic", Model: "from-secret", MaxTokens: 5}
	for name, tc := range map[string]struct {
		mc     *tightbeampb.ModelConfig
		secret *Secret
		model  string
		tokens int64
	}{
		"both":              {&tightbeampb.ModelConfig{Model: "from-resource", MaxTokens: 7}, s, "from-resource", 7},
		"a seed's gateway":  {&tightbeampb.ModelConfig{}, s, "from-secret", 5},
		"no config at all":  {nil, s, "from-secret", 5},
		"neither":           {&tightbeampb.ModelConfig{Model: "x"}, nil, "x", DefaultMaxTokens},
		"Secret without it": {&tightbeampb.ModelConfig{}, &Secret{Model: "y"}, "y", DefaultMaxTokens},
	} {
		req := request(&tightbeampb.TurnAssignment{ModelConfig: tc.mc}, tc.secret)
		if req.Model != tc.model || req.MaxTokens != tc.tokens {
			t.Errorf("%s: model %q, max tokens %d", name, req.Model, req.MaxTokens)
		}
	}
}

func TestChangedSecretIsUsedForTheNextTurn(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	dir := t.TempDir()
	writeSecret(t, dir, map[string]string{"provider": "anthropic", "model": "claude", "api-key": "old-key-0123456789"})
	keys := make(chan string, 8)
	cfg := config(g, nil)
	cfg.SecretDir = dir
	cfg.NewProvider = func(name string, pc provider.Config) (provider.Provider, error) {
		return callFunc(func(_ context.Context, _ *provider.Request, emit provider.Emit) (*provider.Result, error) {
			keys <- name + " " + pc.Key.Redact("old-key-0123456789") + " " + pc.Key.Redact("new-key-0123456789")
			return provider.NewAnswer("test", "m", emit).Finish(provider.StopEndTurn, "end", "")
		}), nil
	}
	runJob(t, cfg)
	ask := func(uid string) string {
		a := turn(uid, "", "")
		a.ModelConfig.Provider = ""
		g.turns <- a
		g.waitTerminal(uid + "/1")
		return <-keys
	}
	if got := ask("u1"); got != "anthropic [redacted] new-[redacted]" && !strings.HasPrefix(got, "anthropic [redacted] ") {
		t.Errorf("first key: %s", got)
	}
	writeSecret(t, dir, map[string]string{"api-key": "new-key-0123456789"})
	later := time.Now().Add(time.Second)
	if err := os.Chtimes(filepath.Join(dir, "api-key"), later, later); err != nil {
		t.Fatal(err)
	}
	if got := ask("u2"); !strings.HasSuffix(got, " [redacted]") {
		t.Errorf("key after the change: %s", got)
	}
	// One that is broken is not used, and does not stop the job.
	if err := os.Remove(filepath.Join(dir, "api-key")); err != nil {
		t.Fatal(err)
	}
	if got := ask("u3"); !strings.HasSuffix(got, " [redacted]") {
		t.Errorf("key after a broken change: %s", got)
	}
}

// An attempt that began before the Secret changed may ask for its client after
// it: the client must not serve the attempts with the new key.
func TestClientBelongsToItsKey(t *testing.T) {
	t.Parallel()
	var made []*provider.Key
	pool := &providers{make: func(_ string, cfg provider.Config) (provider.Provider, error) {
		made = append(made, cfg.Key)
		return callFunc(nil), nil
	}}
	old, fresh := &Secret{Key: provider.NewKey("old")}, &Secret{Key: provider.NewKey("new")}
	pool.forget()
	for _, s := range []*Secret{old, old, fresh, fresh, old} {
		if _, err := pool.get(provider.Anthropic, nil, s); err != nil {
			t.Fatal(err)
		}
	}
	if len(made) != 2 || made[0] != old.Key || made[1] != fresh.Key {
		t.Errorf("%d clients were made", len(made))
	}
}

func TestJobWithoutSecretAnswersEchoAlone(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	runJob(t, config(g, nil))
	a := turn("u1", "hi", "")
	a.ModelConfig.Provider = "anthropic"
	g.turns <- a
	cs := g.waitTerminal("u1/1")
	if e := cs[len(cs)-1].GetError(); e.GetClass() != tightbeampb.ErrorClass_ERROR_CLASS_AUTH || !strings.Contains(e.GetMessage(), "Secret") {
		t.Errorf("%v", cs[len(cs)-1])
	}
}
