// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
)

// forward forwards a local port to a port of a server of ours, until the test is
// over or the pod behind it has gone.
func forward(t *testing.T, target, port string) (address string) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	forward := exec.CommandContext(ctx, "kubectl", "-n", system, "port-forward", target, ":"+port)
	forward.Env = append(os.Environ(), "KUBECONFIG="+kubeconfig)
	out, err := forward.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := forward.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cancel(); _ = forward.Wait() }) // it was ended
	line, err := bufio.NewReader(out).ReadString('\n')
	match := regexp.MustCompile(`127\.0\.0\.1:\d+`).FindString(line)
	if match == "" {
		t.Fatalf("port-forward said %q, %v", line, err)
	}
	return match
}

// direct returns the arguments that make kubectl talk to a server of ours and
// not to the kube-apiserver: a forwarded port, and a token that the server has
// the cluster review. trust are kubectl's arguments for the certificate.
func direct(t *testing.T, target, account string, trust ...string) []string {
	t.Helper()
	address := forward(t, target, "https")
	empty := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(empty, []byte("apiVersion: v1\nkind: Config\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	token := strings.TrimSpace(kubectl(t, "", "-n", system, "create", "token", account))
	return append(trust, "--kubeconfig="+empty, "--server=https://"+address, "--token="+token)
}

// toServer is direct to the API server, which is trusted by its authority.
func toServer(t *testing.T, account string) []string {
	t.Helper()
	bundle, err := published(t.Context(), "v1.tightbeam.dev")
	if err != nil {
		t.Fatal(err)
	}
	authority := filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(authority, bundle, 0o600); err != nil {
		t.Fatal(err)
	}
	return direct(t, "service/safebeam-apiserver", account, "--certificate-authority="+authority, "--tls-server-name=safebeam-apiserver."+system+".svc")
}

// scraper makes a ServiceAccount that may read metrics.
func scraper(t *testing.T, name string) string {
	t.Helper()
	kubectl(t, "", "-n", system, "create", "serviceaccount", name)
	kubectl(t, "", "create", "clusterrolebinding", name, "--clusterrole=safebeam-metrics", "--serviceaccount="+system+":"+name)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		defer cancel()
		_, _ = tryKubectl(ctx, "", "-n", system, "delete", "serviceaccount", name)
		_, _ = tryKubectl(ctx, "", "delete", "clusterrolebinding", name)
	})
	return name
}

// The commands of docs/operate.md.
func TestHealthAndMetricsByKubectl(t *testing.T) {
	needCluster(t)
	t.Parallel()
	ns := namespace(t)
	echo(t, ns, `{}`)
	ended(t, say(t, ns, "x"), tightbeamv1.TurnSucceeded, 60*time.Second)

	// Health is for everybody, so a proxy without the caller's token does.
	const proxy = "/api/v1/namespaces/" + system + "/services/https:safebeam-apiserver:443/proxy"
	for _, path := range []string{"/readyz", "/livez", "/healthz"} {
		if got := kubectl(t, "", "get", "--raw", proxy+path); got != "ok" {
			t.Errorf("%s says %q", path, got)
		}
	}
	if got := kubectl(t, "", "get", "--raw", "/readyz"); got != "ok" {
		t.Errorf("the kube-apiserver's /readyz says %q with us in it", got)
	}
	refused(t, "", "", "get", "--raw", proxy+"/metrics") // metrics are not

	to := toServer(t, scraper(t, "e2e-metrics"))
	if got := kubectl(t, "", append(to, "get", "--raw", "/readyz?verbose")...); !strings.Contains(got, "[+]turns ok") {
		t.Errorf("/readyz?verbose:\n%s", got)
	}
	metrics := kubectl(t, "", append(to, "get", "--raw", "/metrics")...)
	for want, atLeast := range map[string]float64{
		`tightbeam_turns_total{class="",model="echo",namespace="` + ns + `",phase="Succeeded"}`: 1,
		`tightbeam_turn_first_token_seconds_count{model="echo",namespace="` + ns + `"}`:         1,
		`tightbeam_jobs_connected{model="echo",namespace="` + ns + `"}`:                         1,
		`safebeam_store_ready`: 1,
		`safebeam_reconciliation_duration_seconds_count{loop="model-counts",result="success"}`: 1,
		`apiserver_longrunning_requests{`:                  0,
		`apiserver_flowcontrol_dispatched_requests_total{`: 1,
	} {
		if got, found := value(metrics, want); !found || got < atLeast {
			t.Errorf("%s is %v, want %v at least", want, got, atLeast)
		}
	}
	// Who may not read them does not.
	kubectl(t, "", "-n", system, "create", "serviceaccount", "e2e-nobody")
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		defer cancel()
		_, _ = tryKubectl(ctx, "", "-n", system, "delete", "serviceaccount", "e2e-nobody")
	})
	refused(t, "Forbidden", "", append(toServer(t, "e2e-nobody"), "get", "--raw", "/metrics")...)
}

// value finds the first sample whose line begins with name.
func value(metrics, name string) (float64, bool) {
	for _, line := range strings.Split(metrics, "\n") {
		if !strings.HasPrefix(line, name) {
			continue
		}
		if number, err := strconv.ParseFloat(line[strings.LastIndex(line, " ")+1:], 64); err == nil {
			return number, true
		}
	}
	return 0, false
}

// Everything that is done is in the audit log; nothing that is said is.
func TestAuditLogHasDeedsAndNoWords(t *testing.T) {
	needCluster(t)
	t.Parallel()
	ns := namespace(t)
	echo(t, ns, `{}`)
	turn := say(t, ns, "words-that-nobody-logs")
	ended(t, turn, tightbeamv1.TurnSucceeded, 60*time.Second)
	kubectl(t, "", "-n", ns, "--as=jane", "--as-group=system:masters", "delete", "turn", turn.Name)
	var lines string
	eventually(t, 20*time.Second, func(ctx context.Context) (err error) {
		if lines, err = tryKubectl(ctx, "", "-n", system, "logs", serverPod(t)); err == nil && !strings.Contains(lines, `"verb":"delete","user":{"username":"jane"`) {
			err = fmt.Errorf("the deletion by jane is not in the audit log")
		}
		return err
	})
	if strings.Contains(lines, "words-that-nobody-logs") {
		t.Error("the log has what was said")
	}
}
