// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package printing

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"safebeam.dev/safebeam/apis/internal/table/tabletest"
	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
)

func TestSandboxesLookGood(t *testing.T) {
	t.Parallel()
	list := &v1.SandboxList{Items: []v1.Sandbox{
		{ObjectMeta: tabletest.Meta("sandbox-1", time.Minute), Spec: v1.SandboxSpec{Runtime: "python:3.11", SecurityLevel: v1.SecurityStandard, User: "user-123"}, Status: v1.SandboxStatus{
			Phase: v1.SandboxRunning, ExpiresAt: tabletest.Ago(-4 * time.Minute), WarmPodRef: &v1.ObjectReference{Name: "python-pool-x7"},
			PodName: "pod-x7", PodNamespace: "warm-pools", NodeName: "node1", Timings: &v1.SandboxTimings{ReadyMilliseconds: 3},
		}},
		{ObjectMeta: tabletest.Meta("sandbox-2", time.Hour), Spec: v1.SandboxSpec{Runtime: "nodejs:22", SecurityLevel: v1.SecurityHigh}, Status: v1.SandboxStatus{
			Phase: v1.SandboxLost, Reason: "OOMKilled", ExpiresAt: tabletest.Ago(time.Minute),
		}},
		{ObjectMeta: tabletest.Meta("sandbox-3", 0), Spec: v1.SandboxSpec{Runtime: "nodejs:22"}},
	}}
	tabletest.Looks(t, sandboxes, list, false, `
NAME        RUNTIME       STATUS           WARM             EXPIRES   AGE
sandbox-1   python:3.11   Running          python-pool-x7   4m        60s
sandbox-2   nodejs:22     Lost:OOMKilled   <none>           <none>    60m
sandbox-3   nodejs:22     <none>           <none>           <none>    0s
`)
	tabletest.Looks(t, sandboxes, list, true, `
NAME        RUNTIME       STATUS           WARM             EXPIRES   AGE   SECURITY   USER       READY IN   POD                 NODE
sandbox-1   python:3.11   Running          python-pool-x7   4m        60s   standard   user-123   3ms        warm-pools/pod-x7   node1
sandbox-2   nodejs:22     Lost:OOMKilled   <none>           <none>    60m   high       <none>     <none>     <none>              <none>
sandbox-3   nodejs:22     <none>           <none>           <none>    0s    <none>     <none>     <none>     <none>              <none>
`)
}

func TestExecutionsLookGood(t *testing.T) {
	t.Parallel()
	at := func(d time.Duration) *metav1.MicroTime { return &metav1.MicroTime{Time: tabletest.Now.Add(d)} }
	list := &v1.ExecutionList{Items: []v1.Execution{
		{ObjectMeta: tabletest.Meta("run-1", time.Minute), Spec: v1.ExecutionSpec{Sandbox: "sandbox-1", Code: "import numpy\nprint(numpy.mean([1, 2, 3, 4, 5, 6]))"}, Status: v1.ExecutionStatus{
			Phase: v1.ExecutionSucceeded, ExitCode: ptr.To[int32](0), StartTime: at(-time.Minute), CompletionTime: at(-59 * time.Second), Stdout: &v1.ExecutionOutput{TotalBytes: 12_345},
		}},
		{ObjectMeta: tabletest.Meta("run-2", time.Minute), Spec: v1.ExecutionSpec{Sandbox: "sandbox-1", Command: []string{"sleep", "60"}}, Status: v1.ExecutionStatus{
			Phase: v1.ExecutionRunning, StartTime: at(-1500 * time.Millisecond),
		}},
		{ObjectMeta: tabletest.Meta("run-3", time.Minute), Spec: v1.ExecutionSpec{Sandbox: "sandbox-1", Command: []string{"false"}}, Status: v1.ExecutionStatus{
			Phase: v1.ExecutionTimedOut, ExitCode: ptr.To[int32](124), Signal: "SIGKILL", Reason: "Timeout", StartTime: at(-30 * time.Second), CompletionTime: at(0),
		}},
	}}
	tabletest.Looks(t, executions, list, false, `
NAME    SANDBOX     STATUS      EXIT     TOOK   AGE
run-1   sandbox-1   Succeeded   0        1s     60s
run-2   sandbox-1   Running     <none>   1.5s   60s
run-3   sandbox-1   TimedOut    124      30s    60s
`)
	tabletest.Looks(t, executions, list, true, `
NAME    SANDBOX     STATUS      EXIT     TOOK   AGE   REASON    OUTPUT    RUNS
run-1   sandbox-1   Succeeded   0        1s     60s   <none>    12.3k/0   import numpy print(numpy.mean([1, 2, 3,…
run-2   sandbox-1   Running     <none>   1.5s   60s   <none>    0/0       sleep 60
run-3   sandbox-1   TimedOut    124      30s    60s   Timeout   0/0       false
`)
}

func TestPoolsLookGood(t *testing.T) {
	t.Parallel()
	list := &v1.WarmPoolList{Items: []v1.WarmPool{
		{ObjectMeta: tabletest.Meta("python-pool", time.Hour), Spec: v1.WarmPoolSpec{Runtime: "python:3.11", MinSize: 5, MaxSize: 20, SecurityLevel: v1.SecurityStandard}, Status: v1.WarmPoolStatus{
			AvailablePods: 3, AssignedPods: 2, PendingPods: 1, HitRate: ptr.To[int32](98), LastScaleTime: tabletest.Ago(time.Minute),
			Conditions: []metav1.Condition{{Type: v1.WarmPoolReady, Status: "True", Reason: "PoolReady"}},
		}},
		{ObjectMeta: tabletest.Meta("broken", time.Hour), Spec: v1.WarmPoolSpec{Runtime: "nodejs:22", SecurityLevel: v1.SecurityHigh}, Status: v1.WarmPoolStatus{
			Conditions: []metav1.Condition{{Type: v1.WarmPoolReady, Status: "False", Reason: "PreloadFailed"}},
		}},
	}}
	tabletest.Looks(t, warmPools, list, false, `
NAME          RUNTIME       MIN   MAX      AVAILABLE   ASSIGNED   PENDING   READY   AGE
python-pool   python:3.11   5     20       3           2          1         True    60m
broken        nodejs:22     0     <none>   0           0          0         False   60m
`)
	tabletest.Looks(t, warmPools, list, true, `
NAME          RUNTIME       MIN   MAX      AVAILABLE   ASSIGNED   PENDING   READY   AGE   REASON          HIT RATE   SECURITY   LAST SCALE
python-pool   python:3.11   5     20       3           2          1         True    60m   <none>          98%        standard   60s
broken        nodejs:22     0     <none>   0           0          0         False   60m   PreloadFailed   <none>     high       <none>
`)
	pod := &v1.WarmPod{ObjectMeta: tabletest.Meta("python-pool-x7", time.Minute), Spec: v1.WarmPodSpec{PoolRef: v1.ObjectReference{Name: "python-pool"}}, Status: v1.WarmPodStatus{
		Phase: v1.WarmPodAssigned, AssignedTo: "agents/sandbox-1", PodName: "pod-x7", RuntimeEnvironment: "python-3.11",
	}}
	tabletest.Looks(t, warmPods, pod, true, `
NAME             POOL          STATUS     ASSIGNED TO        AGE   REASON   RUNTIME       POD
python-pool-x7   python-pool   Assigned   agents/sandbox-1   60s   <none>   python-3.11   pod-x7
`)
}

func TestProfilesAndRuntimesLookGood(t *testing.T) {
	t.Parallel()
	profile := &v1.SandboxProfile{ObjectMeta: tabletest.Meta("data", time.Hour), Spec: v1.SandboxProfileSpec{Language: "python", SecurityLevel: v1.SecurityHigh, PreInstalledPackages: []string{"numpy", "pandas"}}}
	tabletest.Looks(t, profiles, profile, true, `
NAME   LANGUAGE   SECURITY   AGE   SECCOMP   PACKAGES
data   python     high       60m   <none>    numpy,pandas
`)
	runtime := &v1.RuntimeEnvironment{ObjectMeta: tabletest.Meta("python-3.11", time.Hour), Spec: v1.RuntimeEnvironmentSpec{
		Image: "localhost/python:3.11", Language: "python", Version: "3.11", ServesVersions: []string{"3", "3.10"}, PackageManager: "pip",
	}, Status: v1.RuntimeEnvironmentStatus{Available: true}}
	tabletest.Looks(t, runtimes, runtime, true, `
NAME          LANGUAGE   VERSION   SERVES   AVAILABLE   AGE   IMAGE                   PACKAGES   TAGS
python-3.11   python     3.11      3,3.10   true        60m   localhost/python:3.11   pip        <none>
`)
}
