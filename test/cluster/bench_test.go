// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
	"safebeam.dev/safebeam/pkg/client"
	"safebeam.dev/safebeam/pkg/generated/clientset/versioned"
	"safebeam.dev/safebeam/test/harness"
)

// The benchmarks are measurements: they assert nothing but that what they
// measure worked. make bench-cluster runs them and shows their figures.
func needBench(t *testing.T) {
	t.Helper()
	needCluster(t)
	if os.Getenv("E2E_BENCH") == "" {
		t.Skip("a measurement: set E2E_BENCH=1")
	}
}

// rounds is n, or fewer with -short.
func rounds(n, short int) int {
	if testing.Short() {
		return short
	}
	return n
}

// figure prints a line for programs.
func figure(name string, value float64, unit string) {
	fmt.Printf("figure %s %.4g %s\n", name, value, unit)
}

type samples []time.Duration

// at returns a quantile.
func (s samples) at(quantile float64) time.Duration {
	sorted := slices.Sorted(slices.Values(s))
	return sorted[min(int(quantile*float64(len(sorted))), len(sorted)-1)]
}

func (s samples) String() string {
	return fmt.Sprintf("n=%d p50=%v p90=%v p99=%v", len(s), s.at(.5).Round(10*time.Microsecond), s.at(.9).Round(10*time.Microsecond), s.at(.99).Round(10*time.Microsecond))
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// speaker asks turns of a server, on a conversation "c".
type speaker struct {
	config    *rest.Config
	own       versioned.Interface
	namespace string
}

// ask returns when the turn was created, when its reader held the first delta,
// counted from the create request, and the name of the turn.
func (s speaker) ask(ctx context.Context) (created, first time.Duration, name string, err error) {
	begin := time.Now()
	turn, err := s.own.TightbeamV1().Turns(s.namespace).Create(ctx, newTurn("c", "x"), metav1.CreateOptions{})
	if err != nil {
		return 0, 0, "", err
	}
	created = time.Since(begin)
	for event, err := range client.Stream(ctx, s.config, s.namespace, turn.Name, 0) {
		if err != nil {
			return 0, 0, "", err
		}
		if event.Type == tightbeamv1.TurnEventBlockDelta && first == 0 {
			first = time.Since(begin)
		}
	}
	return created, first, turn.Name, nil
}

// TestBenchFirstTokenWarm is the time to the first token through the
// kube-apiserver, beside a standalone server's on the same machine: both with
// a job that waits and answers by itself, in turns.
func TestBenchFirstTokenWarm(t *testing.T) {
	needBench(t)
	ns := namespace(t)
	echo(t, ns, `{}`)
	onCluster := speaker{config, own, ns}

	alone := harness.Start(t)
	alone.Config.QPS = -1
	standalone := speaker{alone.Config, alone.Client, harness.Namespace}
	ctx := t.Context()
	for _, object := range []*tightbeamv1.TightbeamModel{{
		ObjectMeta: metav1.ObjectMeta{Name: "echo"}, Spec: tightbeamv1.TightbeamModelSpec{Provider: tightbeamv1.ProviderEcho, Model: "echo"},
	}} {
		if _, err := alone.Client.TightbeamV1().TightbeamModels(harness.Namespace).Create(ctx, object, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := alone.Client.TightbeamV1().Conversations(harness.Namespace).Create(ctx, &tightbeamv1.Conversation{
		ObjectMeta: metav1.ObjectMeta{Name: "c"}, Spec: tightbeamv1.ConversationSpec{Model: "echo"},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}

	const warmUp = 20
	var created, first, createdAlone, firstAlone samples
	for i := range warmUp + rounds(500, 100) {
		c, f, _, err := onCluster.ask(ctx)
		if err != nil {
			t.Fatal(err)
		}
		ca, fa, _, err := standalone.ask(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if i >= warmUp {
			created, first = append(created, c), append(first, f)
			createdAlone, firstAlone = append(createdAlone, ca), append(firstAlone, fa)
		}
	}
	fmt.Println("first token, on the cluster:", first)
	fmt.Println("  of it the create:         ", created)
	fmt.Println("first token, standalone:    ", firstAlone)
	fmt.Println("  of it the create:         ", createdAlone)
	figure("cluster_ttft_warm_p50_ms", milliseconds(first.at(.5)), "ms")
	figure("cluster_ttft_warm_p99_ms", milliseconds(first.at(.99)), "ms")
	figure("standalone_ttft_warm_p50_ms", milliseconds(firstAlone.at(.5)), "ms")
	figure("cluster_ttft_above_standalone_p50_ms", milliseconds(first.at(.5)-firstAlone.at(.5)), "ms")
}
