// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package sandboxmetrics_test

import (
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/pkg/apiserver/servertest"
	"safebeam.dev/safebeam/pkg/sandboxd/sandboxdtest"
	"safebeam.dev/safebeam/test/sandboxes"
)

func TestMain(m *testing.M) {
	sandboxdtest.Main()
	os.Exit(m.Run())
}

const namespace = "team-a"

// TestMetricsTellWhatWasDone does each thing that is counted once, by the API, and
// reads /metrics.
func TestMetricsTellWhatWasDone(t *testing.T) {
	s := servertest.Start(t, servertest.Settings{Sandboxes: true})
	box := s.NewSandbox(t, namespace, "box")
	user := sandboxes.NewUser(t, s.Client, namespace)
	user.Run(t, "code", v1.ExecutionSpec{Sandbox: "box", Code: "print(1)", Language: "python", WorkingDir: box.Workspace})
	user.Run(t, "fails", v1.ExecutionSpec{Sandbox: "box", Command: []string{"false"}, WorkingDir: box.Workspace})
	for _, command := range []sandboxes.Command{
		{Argv: []string{"cat"}, Stdin: strings.NewReader("12345")}, {Argv: []string{"false"}},
	} {
		if _, err := user.Exec(t.Context(), "box", command); err != nil {
			t.Fatal(err)
		}
	}
	if status, body, _ := user.File(t, "PUT", "box", box.Workspace+"/file", strings.NewReader("1234567"), nil); status >= 300 {
		t.Fatalf("%d %s", status, body)
	}
	user.File(t, "GET", "box", box.Workspace+"/file", nil, nil)
	user.File(t, "GET", "box", box.Workspace+"/missing", nil, nil)

	series := until(t, s, `llmsafespace_exec_sessions_open`, 0)
	for name, want := range map[string]float64{
		`llmsafespace_sandboxes_created_total`:                                          1,
		`llmsafespace_sandboxes_deleted_total`:                                          0,
		`llmsafespace_sandboxes_running`:                                                1,
		`llmsafespace_sandboxes{state="running"}`:                                       1,
		`llmsafespace_sandboxes{state="disconnected"}`:                                  0,
		`llmsafespace_executions{state="running"}`:                                      0,
		`llmsafespace_execution_wait_duration_seconds_count`:                            2,
		`llmsafespace_execution_duration_seconds_count{status="Succeeded",type="code"}`: 1,
		`llmsafespace_execution_duration_seconds_count{status="Failed",type="command"}`: 1,
		`llmsafespace_exec_sessions_total{result="succeeded"}`:                          1,
		`llmsafespace_exec_sessions_total{result="failed"}`:                             1,
		`llmsafespace_exec_sessions_total{result="error"}`:                              0,
		`llmsafespace_exec_start_duration_seconds_count`:                                2,
		`llmsafespace_exec_duration_seconds_count`:                                      2,
		`llmsafespace_exec_bytes_total{direction="in"}`:                                 5,
		`llmsafespace_exec_bytes_total{direction="out"}`:                                5,
		`llmsafespace_file_bytes_total{direction="in"}`:                                 7,
		`llmsafespace_file_operations_total{operation="get",status="200"}`:              1,
		`llmsafespace_file_operations_total{operation="get",status="404"}`:              1,
		`llmsafespace_file_operation_duration_seconds_count{operation="get"}`:           2,
	} {
		if got, ok := series[name]; !ok || got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	if out := series[`llmsafespace_file_bytes_total{direction="out"}`]; out < 7 {
		t.Errorf("%v bytes of files came out", out)
	}
	matching(t, series, `^llmsafespace_sandbox_startup_duration_seconds_count\{runtime="[^"]+",warm_pod_used="false"\}$`)
	matching(t, series, `^llmsafespace_executions_total\{reason="NonZeroExitCode",runtime="[^"]+",status="Failed",type="command"\}$`)
	documented(t, series)
}

// until reads /metrics until a series has a value: the last of a command is counted
// after its client has gone.
func until(t *testing.T, s *servertest.Server, name string, want float64) map[string]float64 {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		body, err := s.REST().Get().AbsPath("/metrics").DoRaw(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		series := map[string]float64{}
		for line := range strings.Lines(string(body)) {
			if i := strings.LastIndexByte(line, ' '); i > 0 && strings.HasPrefix(line, "llmsafespace_") {
				series[line[:i]], _ = strconv.ParseFloat(strings.TrimSpace(line[i:]), 64)
			}
		}
		if got, ok := series[name]; ok && got == want {
			return series
		} else if time.Now().After(deadline) {
			t.Fatalf("%s is %v (%v), want %v", name, got, ok, want)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func matching(t *testing.T, series map[string]float64, pattern string) {
	t.Helper()
	expression := regexp.MustCompile(pattern)
	for name, value := range series {
		if expression.MatchString(name) && value == 1 {
			return
		}
	}
	t.Errorf("nothing that is 1 matches %s", pattern)
}

// documented: docs/operate.md explains the metrics that there are, and no others.
func documented(t *testing.T, series map[string]float64) {
	t.Helper()
	text, err := os.ReadFile("../../../docs/operate.md")
	if err != nil {
		t.Fatal(err)
	}
	suffix := regexp.MustCompile(`(_bucket|_sum|_count)?(\{.*)?$`)
	mine := regexp.MustCompile(`llmsafespace_(sandbox|exec|file)[a-z_]*`)
	var there, said []string
	for name := range series {
		if name = suffix.ReplaceAllString(name, ""); mine.MatchString(name) {
			there = append(there, name)
		}
	}
	_, table, _ := strings.Cut(string(text), "\nSandboxes, on the server")
	table, _, _ = strings.Cut(table, "\nThe store and the loops")
	said = mine.FindAllString(table, -1)
	for _, list := range []*[]string{&there, &said} {
		slices.Sort(*list)
		*list = slices.Compact(*list)
	}
	if !slices.Equal(there, said) {
		t.Errorf("there are\n%s\nand docs/operate.md has\n%s", strings.Join(there, "\n"), strings.Join(said, "\n"))
	}
}
