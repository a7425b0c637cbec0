// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"fmt"
	"iter"
	"os"
	"slices"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilrand "k8s.io/apimachinery/pkg/util/rand"
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
// counted from the create request, and the name of the turn. The stream is opened
// once the create is answered, as a program does that lets the server make the name.
func (s speaker) ask(ctx context.Context) (created, first time.Duration, name string, err error) {
	begin := time.Now()
	turn, err := s.own.TightbeamV1().Turns(s.namespace).Create(ctx, newTurn("c", "x"), metav1.CreateOptions{})
	if err != nil {
		return 0, 0, "", err
	}
	created = time.Since(begin)
	first, err = firstDelta(begin, client.Stream(ctx, s.config, s.namespace, turn.Name, 0))
	return created, first, turn.Name, err
}

// askTogether opens the stream beside the create, as kubectl create turn --follow
// and kubectl chat do.
func (s speaker) askTogether(ctx context.Context) (created, first time.Duration, err error) {
	turn := newTurn("c", "x")
	turn.Name = turn.GenerateName + utilrand.String(10)
	begin := time.Now()
	expected := client.Expect(ctx, s.own.TightbeamV1().RESTClient(), s.namespace, turn.Name)
	defer expected.Close()
	if _, err := s.own.TightbeamV1().Turns(s.namespace).Create(ctx, turn, metav1.CreateOptions{}); err != nil {
		return 0, 0, err
	}
	created = time.Since(begin)
	first, err = firstDelta(begin, expected.Events())
	return created, first, err
}

// firstDelta reads a turn to its end and returns when its first delta was there.
func firstDelta(begin time.Time, events iter.Seq2[tightbeamv1.TurnEvent, error]) (first time.Duration, err error) {
	for event, err := range events {
		if err != nil {
			return 0, err
		}
		if event.Type == tightbeamv1.TurnEventBlockDelta && first == 0 {
			first = time.Since(begin)
		}
	}
	return first, nil
}

// tenant is somebody who may edit in the namespace and nothing else, as a
// ServiceAccount with its token: what system:masters may do nobody looks up.
func tenant(t *testing.T, namespace string) speaker {
	t.Helper()
	const name = "tenant"
	if _, err := kube.CoreV1().ServiceAccounts(namespace).Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := kube.RbacV1().RoleBindings(namespace).Create(t.Context(), &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "edit"},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: name, Namespace: namespace}},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	token, err := kube.CoreV1().ServiceAccounts(namespace).CreateToken(t.Context(), name, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	as := rest.AnonymousClientConfig(config)
	as.BearerToken, as.QPS = token.Status.Token, -1
	client, err := versioned.NewForConfig(as)
	if err != nil {
		t.Fatal(err)
	}
	return speaker{as, client, namespace}
}

// TestBenchFirstTokenWarm is the time to the first token through the
// kube-apiserver, beside a standalone server's on the same machine: all with
// a job that waits and answers by itself, in turns. On the cluster ask a tenant,
// whom our server looks up, and an admin, whom it need not; and each opens the
// stream beside the create, and behind it.
func TestBenchFirstTokenWarm(t *testing.T) {
	needBench(t)
	alone := harness.Start(t)
	alone.Config.QPS = -1
	alone.AddModel("echo", "", nil)
	alone.AddConversation("c", "echo")
	standalone := speaker{alone.Config, alone.Client, harness.Namespace}
	space := func() string {
		ns := namespace(t)
		echo(t, ns, `{}`)
		return ns
	}
	ofAdmin, ofTenant := space(), space() // conversations of the same length
	ways := []*way{
		{name: "cluster_tenant", of: tenant(t, ofTenant)},
		{name: "cluster_admin", of: speaker{config, own, ofAdmin}},
		{name: "standalone", of: standalone},
	}
	const warmUp = 20
	for i := range warmUp + rounds(500, 100) {
		for _, w := range ways {
			if err := w.ask(t.Context(), i >= warmUp); err != nil {
				t.Fatalf("%s: %v", w.name, err)
			}
		}
	}
	for _, w := range ways {
		fmt.Println("first token,", w.name)
		fmt.Println("  stream beside the create:", w.together)
		fmt.Println("    of it the create:      ", w.createdTogether)
		fmt.Println("  stream after the create: ", w.after)
		fmt.Println("    of it the create:      ", w.created)
		figure(w.name+"_ttft_warm_p50_ms", milliseconds(w.together.at(.5)), "ms")
		figure(w.name+"_ttft_warm_p99_ms", milliseconds(w.together.at(.99)), "ms")
		figure(w.name+"_ttft_warm_two_trips_p50_ms", milliseconds(w.after.at(.5)), "ms")
	}
	base := ways[len(ways)-1]
	for _, w := range ways[:len(ways)-1] {
		figure(w.name+"_ttft_above_standalone_p50_ms", milliseconds(w.together.at(.5)-base.together.at(.5)), "ms")
		figure(w.name+"_ttft_two_trips_above_standalone_p50_ms", milliseconds(w.after.at(.5)-base.after.at(.5)), "ms")
	}
}

// way is one who asks, and what it took.
type way struct {
	name                                      string
	of                                        speaker
	createdTogether, together, created, after samples
}

func (w *way) ask(ctx context.Context, counts bool) error {
	createdTogether, together, err := w.of.askTogether(ctx)
	if err != nil {
		return err
	}
	created, after, _, err := w.of.ask(ctx)
	if err != nil || !counts {
		return err
	}
	w.createdTogether, w.together = append(w.createdTogether, createdTogether), append(w.together, together)
	w.created, w.after = append(w.created, created), append(w.after, after)
	return nil
}
