// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package neverlost

import (
	"context"
	"fmt"
	"hash/fnv"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
)

// marksFile is where executions write down that they run.
const marksFile = "/workspace/marks"

// The lines that an execution says.
const saidLines = 20

// script writes down that name runs, once the test holds the file in which it does
// and says so by its mode: what was held is read after the sandbox is gone. Then it
// says some lines for a while, and what it was asked.
func script(name string) string {
	return fmt.Sprintf(`: >> %[1]s; until [ -x %[1]s ]; do sleep 0.01; done; echo %[2]s >> %[1]s; `+
		`n=0; while [ $n -lt %[3]d ]; do echo "line $n of %[2]s"; n=$((n+1)); sleep 0.005; done; cat`, marksFile, name, saidLines)
}

// said is what it has said in the end.
func said(name string) string {
	var b strings.Builder
	for n := range saidLines {
		fmt.Fprintf(&b, "line %d of %s\n", n, name)
	}
	return b.String() + "asked " + name
}

// The kinds of executions, by their names.
type kind int

const (
	ofCommand kind = iota
	ofCode
	tooLong // until somebody cancels it
)

func kindOf(name string) kind {
	hash := fnv.New32a()
	hash.Write([]byte(name))
	switch n := hash.Sum32() % 8; {
	case n == 0:
		return tooLong
	case n <= 2:
		return ofCode
	}
	return ofCommand
}

func newExecution(name, sandbox string) *v1.Execution {
	spec := v1.ExecutionSpec{Sandbox: sandbox, Stdin: "asked " + name, TimeoutSeconds: ptr.To[int32](120)}
	switch kindOf(name) {
	case ofCommand:
		spec.Command = []string{"sh", "-c", script(name)}
	case ofCode:
		spec.Code, spec.Language = script(name), "sh"
	case tooLong:
		spec.Command = []string{"sh", "-c", script(name) + "; sleep 1000"}
	}
	return &v1.Execution{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: spec}
}

func executionLog(name string) string {
	return "llmsafespace.dev/v1/namespaces/" + namespace + "/executions/" + name + "/log"
}

// execute makes a sandbox, and a new one whenever that is over, and execution after
// execution in it, a few ahead of what has ended, until ctx ends; each of them is
// read to its end. The first ones are created before the sandbox runs.
func (c *client) execute(ctx context.Context, i int) {
	var readers sync.WaitGroup
	defer readers.Wait()
	ahead := make(chan struct{}, 4)
	for generation := 0; ctx.Err() == nil; generation++ {
		sandbox := fmt.Sprintf("s%d-%03d", i, generation)
		if !c.createSandbox(ctx, sandbox) {
			return
		}
		for n := 0; ctx.Err() == nil; n++ {
			name := fmt.Sprintf("%s-%04d", sandbox, n)
			acknowledged, over := c.createExecution(ctx, name, sandbox)
			if over {
				break
			}
			if !acknowledged {
				return
			}
			c.note(line{Acknowledged: name, In: sandbox})
			ahead <- struct{}{}
			readers.Go(func() {
				defer func() { <-ahead }()
				if kindOf(name) == tooLong {
					readers.Go(func() { c.cancel(name) })
				}
				c.read(name, executionLog(name))
			})
		}
	}
}

func (c *client) createSandbox(ctx context.Context, name string) bool {
	sandbox := &v1.Sandbox{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1.SandboxSpec{Runtime: "bash", Timeout: ptr.To[int32](86_400)}}
	return insist(ctx, func(ctx context.Context) bool {
		_, err := c.api.LlmsafespaceV1().Sandboxes(namespace).Create(ctx, sandbox, metav1.CreateOptions{})
		return err == nil || apierrors.IsAlreadyExists(err)
	})
}

// createExecution insists until the execution is acknowledged, or refused because
// its sandbox is over. Neither: ctx ended before.
func (c *client) createExecution(ctx context.Context, name, sandbox string) (acknowledged, over bool) {
	acknowledged = insist(ctx, func(ctx context.Context) bool {
		_, err := c.api.LlmsafespaceV1().Executions(namespace).Create(ctx, newExecution(name, sandbox), metav1.CreateOptions{})
		over = apierrors.IsConflict(err) || apierrors.IsInvalid(err) // by when it ended
		return err == nil || apierrors.IsAlreadyExists(err) || over
	})
	return acknowledged && !over, over
}

// cancel ends an execution after a while.
func (c *client) cancel(name string) {
	time.Sleep(300 * time.Millisecond)
	insist(context.Background(), func(ctx context.Context) bool {
		err := c.api.LlmsafespaceV1().RESTClient().Post().Namespace(namespace).Resource("executions").Name(name).SubResource("cancel").Do(ctx).Error()
		return err == nil
	})
}
