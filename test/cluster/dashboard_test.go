// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	llmsafespacev1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
)

const monitoring = "../../artifacts/monitoring/"

// queries are what the dashboard and the alerts ask Prometheus, by where.
func queries(t *testing.T) map[string]string {
	t.Helper()
	read := func(file string, into any) {
		t.Helper()
		data, err := os.ReadFile(monitoring + file)
		if err == nil {
			err = yaml.Unmarshal(data, into)
		}
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
	}
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	var alerts struct {
		Groups []struct {
			Rules []struct{ Alert, Expr string }
		}
	}
	read("grafana-dashboard.json", &dashboard)
	read("alerts.yaml", &alerts)
	found := map[string]string{}
	for _, panel := range dashboard.Panels {
		for _, target := range panel.Targets {
			found["panel "+panel.Title] += target.Expr + "\n"
		}
	}
	for _, group := range alerts.Groups {
		for _, rule := range group.Rules {
			found["alert "+rule.Alert] = rule.Expr
		}
	}
	if len(found) < 20 {
		t.Fatalf("found %d queries only", len(found))
	}
	return found
}

// metricName finds what may be a metric: words with an underscore, and up, that
// are no function, no label and no variable.
var (
	metricName = regexp.MustCompile(`\b(up|[a-z]+(_[a-z0-9]+)+)\b`)
	noMetric   = map[string]bool{"histogram_quantile": true, "request_kind": true, "warm_pod_used": true}
	variable   = regexp.MustCompile(`\$(__)?[a-z_]+`)
)

func metricsIn(query string) []string {
	var names []string
	for _, name := range metricName.FindAllString(variable.ReplaceAllString(query, ""), -1) {
		if !noMetric[name] {
			names = append(names, name)
		}
	}
	return names
}

// A panel of a metric that is no more shows nothing, and an alert on it is
// silent for ever.
func TestDashboardAndAlertsAskForMetricsThatExist(t *testing.T) {
	needCluster(t)
	t.Parallel()
	ns := namespace(t)
	// All that leaves a trace: a turn, a failed one, a job that came and went,
	// one that could not.
	apply(t, ns, `
apiVersion: tightbeam.dev/v1
kind: TightbeamModel
metadata: {name: echo}
spec: {provider: echo, model: echo, idleTimeout: 1}
---
apiVersion: tightbeam.dev/v1
kind: Conversation
metadata: {name: c}
spec: {model: echo}
`)
	ended(t, say(t, ns, "x"), tightbeamv1.TurnSucceeded, 60*time.Second)
	eventually(t, 60*time.Second, func(ctx context.Context) error { _, err := runningPods(ctx, ns, 0); return err })
	user := sandboxUser(t)
	user.Running(t, "box", small)
	user.Sh(t, "box", "true")
	user.Run(t, "run", llmsafespacev1.ExecutionSpec{Sandbox: "box", Command: []string{"true"}})
	if status, body, _ := user.File(t, "PUT", "box", "/workspace/file", strings.NewReader("x"), nil); status >= 300 {
		t.Fatalf("%d %s", status, body)
	}

	account := scraper(t, "e2e-dashboard")
	scraped := kubectl(t, "", append(toServer(t, account), "get", "--raw", "/metrics")...)
	pods, err := kube.CoreV1().Pods(system).List(t.Context(), metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=safebeam-controller"})
	if err != nil || len(pods.Items) == 0 {
		t.Fatalf("%d pods of the controller, %v", len(pods.Items), err)
	}
	for _, pod := range pods.Items { // one leads, and shows more
		scraped += kubectl(t, "", append(direct(t, "pod/"+pod.Name, account, "--insecure-skip-tls-verify"), "get", "--raw", "/metrics")...)
	}
	exists := map[string]bool{"up": true} // Prometheus' own
	for _, line := range strings.Split(scraped, "\n") {
		if name, _, found := strings.Cut(strings.TrimPrefix(line, "# TYPE "), " "); found && strings.HasPrefix(line, "# TYPE ") {
			for _, suffix := range []string{"", "_bucket", "_count", "_sum"} {
				exists[name+suffix] = true
			}
		}
	}
	for where, query := range queries(t) {
		names := metricsIn(query)
		if len(names) == 0 {
			t.Errorf("%s: no metric in %q", where, query)
		}
		for _, name := range names {
			if !exists[name] {
				t.Errorf("%s asks for %s, which nobody has", where, name)
			}
		}
	}
	// The same for what the docs explain.
	docs, err := os.ReadFile("../../docs/operate.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range regexp.MustCompile("`((?:tightbeam|safebeam|llmsafespace)_[a-z_]+)").FindAllStringSubmatch(string(docs), -1) {
		if !exists[name[1]] {
			t.Errorf("docs/operate.md explains %s, which nobody has", name[1])
		}
	}
}

// The dashboard is one that Grafana takes: panels that do not overlap, each
// with a number of its own.
func TestDashboardIsWellFormed(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(monitoring + "grafana-dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Title, UID string
		Panels     []struct {
			ID      int
			Title   string
			GridPos struct{ X, Y, W, H int }
		}
	}
	if err := json.Unmarshal(data, &dashboard); err != nil {
		t.Fatal(err)
	}
	if dashboard.Title == "" || dashboard.UID == "" {
		t.Error("it has no title or uid")
	}
	ids, taken := map[int]bool{}, map[[2]int]string{}
	for _, panel := range dashboard.Panels {
		if ids[panel.ID] {
			t.Errorf("%s: the id %d is taken", panel.Title, panel.ID)
		}
		ids[panel.ID] = true
		for x := panel.GridPos.X; x < panel.GridPos.X+panel.GridPos.W; x++ {
			for y := panel.GridPos.Y; y < panel.GridPos.Y+panel.GridPos.H; y++ {
				if other := taken[[2]int{x, y}]; other != "" {
					t.Fatalf("%s overlaps %s", panel.Title, other)
				}
				taken[[2]int{x, y}] = panel.Title
			}
		}
	}
}
