// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"safebeam.dev/safebeam/test/harness"
)

var (
	block = regexp.MustCompile("(?ms)^```(console|yaml)\n(.*?)^```$")
	// Nobody sits here: what watches for ever and what wants a terminal.
	watches = regexp.MustCompile(`(?m)^kubectl .* -w$`)
	typesAt = regexp.MustCompile(`(?m) -it -- bash$`)
)

// The tour of the README, word by word, as somebody types it who has run `make
// run`, which leaves a model behind.
func TestTheTourOfTheREADMEWorks(t *testing.T) {
	if _, err := exec.LookPath("bwrap"); err != nil {
		t.Skip("needs bwrap on PATH: apt-get install bubblewrap")
	}
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, tour, found := strings.Cut(string(readme), "\n## A tour\n")
	tour, _, ended := strings.Cut(tour, "\n## ")
	if !found || !ended {
		t.Fatal("the README has no tour")
	}
	s := harness.Start(t)
	k := newShell(t, s)
	k.run("", words("create -f ../../artifacts/examples/model-echo.yaml"))

	typed := 0
	for _, found := range block.FindAllStringSubmatch(tour, -1) {
		text := found[2]
		if found[1] == "yaml" {
			k.run(text, words("create --dry-run=server -f -"))
			continue
		}
		if strings.HasPrefix(text, "export KUBECONFIG=") {
			continue // where make run keeps things; these are elsewhere
		}
		text = watches.ReplaceAllString(text, "timeout 1 $0 || [ $$? = 124 ]")
		text = typesAt.ReplaceAllString(text, " -i -- bash <<<'exit 0'")
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		command := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", text)
		command.Env = k.command(ctx, "").Env
		output, err := command.CombinedOutput()
		cancel()
		if err != nil {
			t.Errorf("%v\n%s\n%s", err, text, output)
		}
		typed += strings.Count(text, "kubectl ")
	}
	if typed < 15 {
		t.Errorf("%d commands were found: the tour is not what this test takes it for", typed)
	}
	k.run("", words("wait sandbox/quick --for=condition=Ready --timeout=50s"), "condition met")
	k.run("", words("get executions"), "Succeeded")
}
