// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
	"safebeam.dev/safebeam/pkg/client"
	"safebeam.dev/safebeam/pkg/generated/clientset/versioned"
)

// gauges scrapes our server and the controller that leads.
type gauges struct {
	t                  *testing.T
	server, controller []string
}

func newGauges(t *testing.T, account string) gauges {
	t.Helper()
	scraper(t, account)
	lease, err := kube.CoordinationV1().Leases(system).Get(t.Context(), "safebeam-controller", metav1.GetOptions{})
	if err != nil || lease.Spec.HolderIdentity == nil {
		t.Fatal(lease, err)
	}
	pod, _, _ := strings.Cut(*lease.Spec.HolderIdentity, "_")
	return gauges{t, toServer(t, account), direct(t, "pod/"+pod, account, "--insecure-skip-tls-verify")}
}

func (g gauges) scrape(to []string) string {
	return kubectl(g.t, "", append(to, "get", "--raw", "/metrics")...)
}

// processor and memory of both over a while.
func (g gauges) usage(while time.Duration) (cores, bytes [2]float64) {
	g.t.Helper()
	read := func(i int, to []string) float64 {
		metrics := g.scrape(to)
		cpu, _ := value(metrics, "process_cpu_seconds_total ")
		bytes[i], _ = value(metrics, "process_resident_memory_bytes ")
		return cpu
	}
	begin := time.Now()
	before := [2]float64{read(0, g.server), read(1, g.controller)}
	time.Sleep(while)
	for i, to := range [][]string{g.server, g.controller} {
		cores[i] = (read(i, to) - before[i]) / time.Since(begin).Seconds()
	}
	return cores, bytes
}

// TestBenchLoad is what the server and the controller take, idle and with 200
// turns that stream to 200 readers through the kube-apiserver.
func TestBenchLoad(t *testing.T) {
	needBench(t)
	g := newGauges(t, "e2e-bench-load")
	show := func(when string, cores, bytes [2]float64) {
		for i, who := range []string{"apiserver", "controller"} {
			figure("cluster_"+who+"_"+when+"_cpu", cores[i], "cores")
			figure("cluster_"+who+"_"+when+"_rss_mb", bytes[i]/1e6, "MB")
		}
	}
	while := time.Duration(rounds(20, 8)) * time.Second
	cores, bytes := g.usage(while)
	show("idle", cores, bytes)

	ns := namespace(t)
	apply(t, ns, `
apiVersion: tightbeam.dev/v1
kind: TightbeamModel
metadata: {name: echo}
spec: {provider: echo, model: echo, jobs: {max: 4, turnsPerJob: 50}, parameters: {delayMillis: 100, deltas: 1200, deltaBytes: 20}}
`)
	const streams = 200
	reading, stop := context.WithCancel(t.Context())
	defer stop()
	var deltas atomic.Int64
	var readers sync.WaitGroup
	for i := range streams {
		name := fmt.Sprintf("s%d", i)
		if _, err := own.TightbeamV1().Conversations(ns).Create(t.Context(), &tightbeamv1.Conversation{
			ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: tightbeamv1.ConversationSpec{Model: "echo"},
		}, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		turn, err := own.TightbeamV1().Turns(ns).Create(t.Context(), newTurn(name, "x"), metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		readers.Go(func() {
			for event, err := range client.Stream(reading, config, ns, turn.Name, 0) {
				if err != nil {
					if reading.Err() == nil {
						t.Errorf("streaming %s: %v", turn.Name, err)
					}
					return
				}
				if event.Type == tightbeamv1.TurnEventBlockDelta {
					deltas.Add(1)
				}
			}
		})
	}
	eventually(t, 60*time.Second, func(ctx context.Context) error {
		running, err := own.TightbeamV1().Turns(ns).List(ctx, metav1.ListOptions{FieldSelector: "status.phase=Running"})
		if err == nil && len(running.Items) != streams {
			err = fmt.Errorf("%d turns run", len(running.Items))
		}
		return err
	})
	before, begin := deltas.Load(), time.Now()
	cores, bytes = g.usage(while)
	rate := float64(deltas.Load()-before) / time.Since(begin).Seconds()
	show(fmt.Sprintf("%d_streams", streams), cores, bytes)
	figure("cluster_deltas_read_per_second", rate, "1/s")
	stop()
	readers.Wait()
	kubectl(t, "", "delete", "namespace", ns, patience)
}

// TestBenchRequests counts what one warm turn costs: its client's requests,
// which the kube-apiserver passes on, all that our server serves, and those that
// our server and the controller make of the kube-apiserver.
func TestBenchRequests(t *testing.T) {
	needBench(t)
	g := newGauges(t, "e2e-bench-requests")
	ns := namespace(t)
	echo(t, ns, `{}`)
	var requests atomic.Int64
	counted := rest.CopyConfig(config)
	counted.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			requests.Add(1)
			return next.RoundTrip(r)
		})
	})
	client, err := versioned.NewForConfig(counted)
	if err != nil {
		t.Fatal(err)
	}
	speaker := speaker{counted, client, ns}
	ask := func(n int) {
		t.Helper()
		for range n {
			if _, _, _, err := speaker.ask(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	ask(5) // the job is there
	time.Sleep(3 * time.Second)
	n := rounds(200, 50)
	server, controller := g.scrape(g.server), g.scrape(g.controller)
	began, before := time.Now(), requests.Load()
	ask(n)
	ofClient := float64(requests.Load()-before) / float64(n)
	took := time.Since(began)
	time.Sleep(3 * time.Second) // what follows from turns, once a second at most
	serverAfter, controllerAfter := g.scrape(g.server), g.scrape(g.controller)

	perTurn := func(before, after, metric string, label string) (total float64, by map[string]float64) {
		by = map[string]float64{}
		was := counts(before, metric, label)
		for key, count := range counts(after, metric, label) {
			if d := count - was[key]; d > 0 {
				by[key] += d / float64(n)
				total += d / float64(n)
			}
		}
		return total, by
	}
	served, byVerb := perTurn(server, serverAfter, "apiserver_request_total", `verb="([A-Z]+)"`)
	_, byResource := perTurn(server, serverAfter, "apiserver_request_total", `resource="([a-z]*)",scope="[a-z]*",subresource="[^"]*"`)
	_, askedBy := perTurn(server, serverAfter, "rest_client_requests_total", `host="([^"]*)"`)
	ofItself, ofKube := 0.0, 0.0
	for host, count := range askedBy {
		if strings.Contains(host, "::1") || strings.HasPrefix(host, "localhost") || strings.HasPrefix(host, "127.") {
			ofItself += count
		} else {
			ofKube += count
		}
	}
	askedByController, _ := perTurn(controller, controllerAfter, "rest_client_requests_total", `host="([^"]*)"`)
	fmt.Printf("%d turns in %v\n", n, took.Round(time.Millisecond))
	for _, by := range []map[string]float64{byVerb, byResource} {
		var lines []string
		for key, count := range by {
			lines = append(lines, fmt.Sprintf("%s %.2f", key, count))
		}
		slices.Sort(lines)
		fmt.Println("  served by our server, a turn:", strings.Join(lines, ", "))
	}
	figure("cluster_requests_of_client_per_turn", ofClient, "requests")
	figure("cluster_requests_served_per_turn", served, "requests")
	figure("cluster_requests_of_server_to_itself_per_turn", ofItself, "requests")
	figure("cluster_requests_of_server_to_kube_per_turn", ofKube, "requests")
	figure("cluster_requests_of_controller_to_kube_per_turn", askedByController, "requests")
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// counts sums the samples of a metric by what the label's expression captures.
func counts(metrics, metric, label string) map[string]float64 {
	expression := regexp.MustCompile(label)
	sums := map[string]float64{}
	for _, line := range strings.Split(metrics, "\n") {
		if !strings.HasPrefix(line, metric+"{") {
			continue
		}
		key := "other"
		if match := expression.FindStringSubmatch(line); match != nil {
			key = match[1]
		}
		if number, err := strconv.ParseFloat(line[strings.LastIndex(line, " ")+1:], 64); err == nil {
			sums[key] += number
		}
	}
	return sums
}
