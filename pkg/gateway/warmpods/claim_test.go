// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package warmpods_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apiserver/pkg/warning"
	"k8s.io/utils/ptr"

	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/pkg/gateway/warmpods"
	"safebeam.dev/safebeam/pkg/storage"
)

func TestTheAnswerToTheCreateIsARunningSandbox(t *testing.T) {
	t.Parallel()
	on(t, func(t *testing.T, o *storage.Options) {
		w := newWorld(t, o)
		w.ready(t, 1)
		asked := newSandbox("a")
		asked.Spec.Timeout = ptr.To[int32](60)
		asked.Spec.Resources.Memory = quantity("64Mi")
		s, err := w.post(t.Context(), asked)
		if err != nil {
			t.Fatal(err)
		}
		status := &s.Status
		if status.Phase != v1.SandboxRunning || status.StartTime == nil || status.ExpiresAt == nil ||
			status.ExpiresAt.Sub(status.StartTime.Time).Seconds() != 60 {
			t.Errorf("got %+v", status)
		}
		if status.WarmPodRef == nil || status.WarmPodRef.Namespace != poolSpace || status.PodNamespace != poolSpace || status.PodName == "" {
			t.Errorf("it does not say where it runs: %+v", status)
		}
		if status.CreatedBy != "somebody" || status.Timings == nil || status.Timings.ReadyMilliseconds < 1 {
			t.Errorf("got %+v", status)
		}
		if c := condition(s); c.Status != metav1.ConditionTrue || c.Reason != warmpods.ReasonBound {
			t.Errorf("got condition %+v", c)
		}
		if memory := status.Resources.Memory.String(); memory != "64Mi" {
			t.Errorf("%s of memory in force, 64Mi asked", memory)
		}
		if cpu := status.Resources.CPU.String(); cpu != "500m" {
			t.Errorf("%s of CPU in force, the pod has 500m", cpu)
		}
		binding, ok := w.bindings.ByOwner(s.UID)
		if !ok || binding.PodName != status.PodName {
			t.Errorf("bound to %+v", binding)
		}
		if got := w.configured[binding.PodUID]; len(got) != 1 || got[0] != s.UID {
			t.Errorf("its sandboxd was configured for %v", got)
		}
		if err := w.laws(t.Context(), map[string]string{"a": status.PodName}); err != nil {
			t.Error(err)
		}
	})
}

func TestTwoClaimsNeverGetOnePod(t *testing.T) {
	t.Parallel()
	on(t, func(t *testing.T, o *storage.Options) {
		const pods, creates = 200, 300
		w := newWorld(t, o)
		w.ready(t, pods)
		var mu sync.Mutex
		acknowledged, empty := map[string]string{}, 0
		var all sync.WaitGroup
		for i := range creates {
			all.Go(func() {
				s, err := w.post(t.Context(), newSandbox(fmt.Sprint("s", i)))
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err != nil:
					t.Error(err)
				case s.Status.Phase == v1.SandboxRunning:
					acknowledged[s.Name] = s.Status.PodName
				case s.Status.Phase == v1.SandboxPending && condition(s).Reason == warmpods.ReasonPoolEmpty:
					empty++
				default:
					t.Errorf("got %+v", s.Status)
				}
			})
		}
		all.Wait()
		if len(acknowledged) != pods || empty != creates-pods {
			t.Errorf("%d were bound and %d found none", len(acknowledged), empty)
		}
		if err := w.laws(t.Context(), acknowledged); err != nil {
			t.Error(err)
		}
		if d := w.shelf.Demand(types.NamespacedName{Namespace: poolSpace, Name: poolName}, 1<<62); d.Peak != creates {
			t.Errorf("the peak of demand is %d", d.Peak)
		}
	})
}

func TestClaimsSurviveKill9(t *testing.T) {
	t.Parallel()
	on(t, func(t *testing.T, o *storage.Options) {
		acknowledged := map[string]string{}
		for round, after := range []int{1, 20, 75, 130} {
			w, err := open(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			if err := w.laws(t.Context(), acknowledged); err != nil {
				t.Errorf("before round %d: %v", round, err)
			}
			if err := w.addPods(t.Context(), 200); err != nil {
				t.Fatal(err)
			}
			if err := w.store.Close(); err != nil {
				t.Fatal(err)
			}
			killAfter(t, o, round, after, acknowledged)
		}
		w := newWorld(t, o)
		if err := w.laws(t.Context(), acknowledged); err != nil {
			t.Error(err)
		}
		// What is left can still be claimed, and only that.
		left, err := w.shelve(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for i := range left {
			s, err := w.post(t.Context(), newSandbox(fmt.Sprint("last", i)))
			if err != nil || s.Status.Phase != v1.SandboxRunning {
				t.Fatalf("of %d pods that are left, claim %d: %v, %+v", left, i, err, condition(s))
			}
			acknowledged[s.Name] = s.Status.PodName
		}
		if err := w.laws(t.Context(), acknowledged); err != nil {
			t.Error(err)
		}
		t.Logf("%d claims acknowledged, %d pods left for the last", len(acknowledged), left)
	})
}

// killAfter runs a child that creates sandboxes, and kills it when it has
// acknowledged some.
func killAfter(t *testing.T, o *storage.Options, round, after int, acknowledged map[string]string) {
	t.Helper()
	where := o.BBolt.DataDir
	if o.Backend == storage.BackendETCD3 {
		where = o.Etcd.StorageConfig.Transport.ServerList[0]
	}
	process := exec.Command("/proc/self/exe")
	process.Env = append(os.Environ(), fmt.Sprintf("%s=%s %s %d", childVariable, o.Backend, where, round))
	process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	process.Stderr = os.Stderr
	out, err := process.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	n := 0
	for lines := bufio.NewScanner(out); lines.Scan(); {
		words := strings.Fields(lines.Text())
		switch {
		case len(words) == 3 && words[0] == "bound":
			acknowledged[words[1]] = words[2]
			n++
		case len(words) > 0 && words[0] == "error":
			t.Error(lines.Text())
		}
		if n >= after {
			_ = process.Process.Kill() // what it said before is read to the end
		}
	}
	_ = process.Wait()
	if n < after {
		t.Errorf("round %d: only %d claims were acknowledged", round, n)
	}
}

func TestANameThatIsTakenBurnsNoPod(t *testing.T) {
	t.Parallel()
	on(t, func(t *testing.T, o *storage.Options) {
		w := newWorld(t, o)
		w.ready(t, 5)
		var all sync.WaitGroup
		var mu sync.Mutex
		made, taken := 0, 0
		for range 50 {
			all.Go(func() {
				_, err := w.post(t.Context(), newSandbox("same"))
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil:
					made++
				case apierrors.IsAlreadyExists(err):
					taken++
				default:
					t.Error(err)
				}
			})
		}
		all.Wait()
		if left := w.shelf.Ready(types.NamespacedName{Namespace: poolSpace, Name: poolName}); made != 1 || taken != 49 || left != 4 {
			t.Errorf("%d made, %d told that the name is taken, %d of 5 pods left", made, taken, left)
		}
	})
}

// recorder keeps what the API warns of.
type recorder struct{ said []string }

func (r *recorder) AddWarning(_, text string) { r.said = append(r.said, text) }

func TestANetworkOfItsOwnTakesNoPodAndIsNamed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, bboltOptions(t))
	w.ready(t, 1)
	asked := newSandbox("open")
	asked.Spec.NetworkAccess = &v1.NetworkAccess{Ingress: true}
	warnings := &recorder{}
	s, err := w.post(warning.WithWarningRecorder(t.Context(), warnings), asked)
	if err != nil {
		t.Fatal(err)
	}
	const field = "spec.networkAccess"
	if c := condition(s); s.Status.Phase != v1.SandboxPending || c.Reason != warmpods.ReasonNoFit || !strings.Contains(c.Message, field) {
		t.Errorf("%s, %+v", s.Status.Phase, c)
	}
	if all := strings.Join(warnings.said, "\n"); !strings.Contains(all, field) {
		t.Errorf("warnings: %q", all)
	}
	if left := w.shelf.Ready(types.NamespacedName{Namespace: poolSpace, Name: poolName}); left != 1 {
		t.Errorf("%d pods are left", left)
	}
}

func TestADryRunClaimsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, bboltOptions(t))
	w.ready(t, 1)
	if _, err := w.post(t.Context(), newSandbox("a"), func(o *metav1.CreateOptions) { o.DryRun = []string{metav1.DryRunAll} }); err != nil {
		t.Fatal(err)
	}
	if left := w.shelf.Ready(types.NamespacedName{Namespace: poolSpace, Name: poolName}); left != 1 {
		t.Errorf("%d pods left", left)
	}
}

// condemned waits until n pods are to be destroyed and nothing else is amiss.
func (w *world) condemned(t *testing.T, n int) {
	t.Helper()
	eventually(t, "the pods are condemned", func() error {
		pods, err := w.objects.List(t.Context())
		if err != nil {
			return err
		}
		count := 0
		for _, pod := range pods {
			if pod.Status.Phase == v1.WarmPodTerminating {
				count++
			}
		}
		if count != n {
			return fmt.Errorf("%d of %d pods are condemned", count, n)
		}
		return w.laws(t.Context(), nil)
	})
}

func TestAPodThatCannotBeConfiguredIsDestroyedAndTheNextOneTaken(t *testing.T) {
	t.Parallel()
	w := newWorld(t, bboltOptions(t))
	w.ready(t, 2)
	var once sync.Once
	w.configure = func(types.UID) (err error) {
		once.Do(func() { err = errors.New("the connection broke") })
		return err
	}
	s, err := w.post(t.Context(), newSandbox("a"))
	if err != nil || s.Status.Phase != v1.SandboxRunning {
		t.Fatalf("%v, %+v", err, s)
	}
	w.condemned(t, 1)
}

func TestASandboxWhosePodsCannotBeBoundIsMadeCold(t *testing.T) {
	t.Parallel()
	w := newWorld(t, bboltOptions(t))
	w.ready(t, 5)
	w.configure = func(types.UID) error { return errors.New("the connection broke") }
	s, err := w.post(t.Context(), newSandbox("a"))
	if err != nil || s.Status.Phase != v1.SandboxPending {
		t.Fatalf("%v, %+v", err, s)
	}
	if c := condition(s); c.Reason != warmpods.ReasonClaimFailed || !strings.Contains(c.Message, "the connection broke") {
		t.Errorf("got condition %+v", c)
	}
	w.condemned(t, 3)
	// It can get a pod of its own: none of those that failed is its.
	if binding, bound := w.bindings.ByOwner(s.UID); bound {
		t.Errorf("it is bound to %+v", binding)
	}
}

func TestAPodThatIsBeingDeletedIsNotClaimed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, bboltOptions(t))
	w.ready(t, 1)
	pods, err := w.objects.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// The loop of pools decided so, and the shelf has not heard of it.
	if err := w.objects.Condemn(t.Context(), &pods[0], "ScaledDown", ""); err != nil {
		t.Fatal(err)
	}
	s, err := w.post(t.Context(), newSandbox("a"))
	if err != nil || s.Status.Phase != v1.SandboxPending {
		t.Fatalf("%v, %+v", err, s.Status)
	}
	w.condemned(t, 1)
}

func TestThePodOfASandboxThatCouldNotBeStoredIsDestroyed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, bboltOptions(t))
	w.ready(t, 2)
	w.create = func(s *v1.Sandbox) error {
		if s.Name == "a" {
			return errors.New("the disk is full")
		}
		return nil
	}
	if _, err := w.post(t.Context(), newSandbox("a")); err == nil {
		t.Fatal("it was stored")
	}
	w.condemned(t, 1)
	if s, err := w.post(t.Context(), newSandbox("b")); err != nil || s.Status.Phase != v1.SandboxRunning {
		t.Errorf("%v, %+v", err, s)
	}
}

func TestAClientThatLeavesDoesNotBreakTheClaim(t *testing.T) {
	t.Parallel()
	w := newWorld(t, bboltOptions(t))
	w.ready(t, 1)
	ctx, leave := context.WithCancel(t.Context())
	w.configure = func(types.UID) error { leave(); return nil }
	if _, err := w.post(ctx, newSandbox("a")); err != nil && !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	eventually(t, "the sandbox is there", func() error {
		s, err := w.sandbox(t.Context(), namespace, "a")
		if err == nil && s.Status.Phase != v1.SandboxRunning {
			err = fmt.Errorf("it is %s", s.Status.Phase)
		}
		return err
	})
	if err := w.laws(t.Context(), nil); err != nil {
		t.Error(err)
	}
}

func TestRecoverDestroysWhatAnUnfinishedClaimLeft(t *testing.T) {
	t.Parallel()
	on(t, func(t *testing.T, o *storage.Options) {
		w, err := open(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.addPods(t.Context(), 4); err != nil {
			t.Fatal(err)
		}
		pods, err := w.objects.List(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		ghost := newSandbox("ghost")
		for i, left := range []struct{ assigned, bound bool }{{true, false}, {false, true}, {true, true}, {false, false}} {
			uid := types.UID(fmt.Sprint("ghost", i))
			if left.assigned {
				if _, err := w.objects.Update(t.Context(), &pods[i], func(p *v1.WarmPod) error {
					p.Status.Phase, p.Status.AssignedTo, p.Status.AssignedToUID = v1.WarmPodAssigned, namespace+"/ghost", uid
					return nil
				}); err != nil {
					t.Fatal(err)
				}
			}
			if left.bound {
				binding, _ := w.bindings.ByOwner(pods[i].UID)
				to := binding.Owner
				to.Kind, to.Namespace, to.Name, to.UID = "Sandbox", ghost.Namespace, ghost.Name, uid
				if err := w.bindings.Claim(t.Context(), binding.PodUID, binding.Owner, to); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := w.store.Close(); err != nil {
			t.Fatal(err)
		}
		w = newWorld(t, o)
		w.condemned(t, 3)
		if n, err := w.shelve(t.Context()); err != nil || n != 1 {
			t.Errorf("%d pods can be claimed, %v", n, err)
		}
	})
}

// A server that reads what somebody wrote of warm pods starts, and has those destroyed
// whose sandbox there cannot be.
func TestRecoverOutlivesWarmPodsThatSomebodyWrote(t *testing.T) {
	t.Parallel()
	on(t, func(t *testing.T, o *storage.Options) {
		w, err := open(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		owners := []string{"", "/", "a", "/a", "a/", "a/b/c", "../..", namespace + "/%"}
		if err := w.addPods(t.Context(), len(owners)); err != nil {
			t.Fatal(err)
		}
		pods, err := w.objects.List(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for i, owner := range owners {
			if _, err := w.objects.Update(t.Context(), &pods[i], func(p *v1.WarmPod) error {
				p.Status.Phase, p.Status.AssignedTo, p.Status.AssignedToUID = v1.WarmPodAssigned, owner, "ghost"
				return nil
			}); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.store.Close(); err != nil {
			t.Fatal(err)
		}
		w = newWorld(t, o)
		w.condemned(t, len(owners))
	})
}
