// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package localsandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"sync"
	"time"

	"github.com/google/uuid"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"

	llmsafespacev1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/pkg/launcher"
	"safebeam.dev/safebeam/pkg/launcher/bubblewrap"
)

// Tokens makes the gateway know the pods.
type Tokens interface {
	// Issue makes a token that the gateway takes for the pod until revoke is
	// called.
	Issue(pod types.UID) (token string, revoke func())
}

// Machine starts sandboxes. One that is an io.Closer is closed when nothing is left
// of them and none will start any more.
type Machine interface {
	Start(ctx context.Context, spec bubblewrap.Spec) (Process, error)
}

// Process is a sandbox that was started.
type Process interface {
	// Done is closed when nothing is left of it; Err says then why.
	Done() <-chan struct{}
	Err() error
	// Limits are those that the kernel enforces.
	Limits() []string
}

// Options are what the launcher works with.
type Options struct {
	Machine Machine
	Tokens  Tokens
	// Node is the name of this machine; default: its hostname.
	Node string
	// MaxPods bounds the pods at one time. Default: 100.
	MaxPods int
	// MaxStarts bounds the warm pods that start at one time. A start is work for a
	// processor, so that more of them at once are none sooner, and cost more each,
	// while the server that binds the pods wants its part. Sandboxes that somebody
	// waits for are not held back. Default: as many as there are processors but one,
	// by GOMAXPROCS.
	MaxStarts int
}

// DefaultMaxPods is a bound that a desktop bears.
const DefaultMaxPods = 100

// Launcher runs sandbox pods on this machine.
type Launcher struct {
	options Options
	// ctx is the life of every pod; end ends it.
	ctx context.Context
	end context.CancelFunc

	// starts has one element for each warm pod that is starting.
	starts chan struct{}

	mu       sync.Mutex
	closed   bool
	pods     map[cache.ObjectName]*pod
	handlers []func(launcher.Pod)
	// running counts the goroutines of pods. It is added to under mu, and not
	// once closed is set.
	running sync.WaitGroup
}

var _ launcher.SandboxLauncher = &Launcher{}

// pod is the launcher's side of a pod, guarded by the launcher's mu.
type pod struct {
	launcher.Pod
	kill context.CancelFunc
	// deleted: somebody of ours wants it gone.
	deleted bool
}

// New makes a launcher without pods.
func New(options Options) *Launcher {
	if options.Node == "" {
		options.Node, _ = os.Hostname()
	}
	if options.MaxPods <= 0 {
		options.MaxPods = DefaultMaxPods
	}
	if options.MaxStarts <= 0 {
		options.MaxStarts = max(1, runtime.GOMAXPROCS(0)-1)
	}
	ctx, end := context.WithCancel(context.Background())
	return &Launcher{options: options, ctx: ctx, end: end, starts: make(chan struct{}, options.MaxStarts), pods: map[cache.ObjectName]*pod{}}
}

// OnChange has changed called for every pod that changes.
func (l *Launcher) OnChange(changed func(launcher.Pod)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.handlers = append(l.handlers, changed)
}

func (l *Launcher) changed(p launcher.Pod) {
	l.mu.Lock()
	handlers := l.handlers
	l.mu.Unlock()
	for _, handler := range handlers {
		handler(p)
	}
}

// Launch starts a sandbox in the background.
func (l *Launcher) Launch(ctx context.Context, spec launcher.PodSpec) (launcher.Pod, error) {
	if refusal := refuse(spec); refusal != nil {
		return launcher.Pod{}, refusal
	}
	name := cache.ObjectName{Namespace: spec.Namespace, Name: spec.Name}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return launcher.Pod{}, errors.New("launching a sandbox: the launcher has ended")
	}
	if p := l.pods[name]; p != nil {
		if p.Owner.UID != spec.Owner.UID {
			return launcher.Pod{}, fmt.Errorf("launching sandbox pod %s: there is one of that name, made for %s %s/%s", name, p.Owner.Kind, p.Owner.Namespace, p.Owner.Name)
		}
		return p.Pod, nil
	}
	if len(l.pods) >= l.options.MaxPods {
		return launcher.Pod{}, &launcher.Refusal{
			Reason:  launcher.ReasonUnschedulable,
			Message: fmt.Sprintf("%d sandboxes are running on this machine, which is the limit", len(l.pods)),
		}
	}
	life, kill := context.WithCancel(l.ctx)
	p := &pod{kill: kill, Pod: launcher.Pod{
		UID: types.UID(uuid.NewString()), Name: spec.Name, Namespace: spec.Namespace, Owner: spec.Owner,
		Node: l.options.Node, Phase: launcher.PodPending, Since: time.Now(),
		Notes: shortfalls(spec.NetworkAccess, &spec.Filesystem),
	}}
	l.pods[name] = p
	logger := klog.FromContext(ctx)
	l.running.Go(func() {
		defer kill()
		l.live(life, logger, p, spec)
	})
	return p.Pod, nil
}

// live is a pod's whole life.
func (l *Launcher) live(ctx context.Context, logger klog.Logger, p *pod, spec launcher.PodSpec) {
	next := func() {}
	if spec.Owner.Kind == launcher.OwnerWarmPod {
		next = l.turn(ctx)
	}
	token, revoke := l.options.Tokens.Issue(p.UID)
	process, err := l.options.Machine.Start(ctx, bubblewrapSpec(spec, p.UID, token))
	if err == nil {
		l.update(p, func() {
			p.Started = true
			if !p.deleted {
				p.Phase = launcher.PodRunning
			}
			p.Notes = append(p.Notes[:len(p.Notes):len(p.Notes)], unlimited(process.Limits())...)
		})
		dialled(process)
		next()
		<-process.Done()
		err = process.Err()
	}
	next()
	// The token is worth nothing before anybody hears that the pod is over.
	revoke()
	message := "sandboxd ended by itself"
	if err != nil {
		message = err.Error()
	}
	logger.V(2).Info("A sandbox pod is over", "pod", p.Name, "namespace", p.Namespace, "err", err)
	l.update(p, func() {
		if p.deleted {
			p.Phase = launcher.PodGone
			delete(l.pods, cache.ObjectName{Namespace: p.Namespace, Name: p.Name})
			return
		}
		p.Phase, p.Reason, p.Message = launcher.PodEnded, launcher.ReasonAgentFailed, message
	})
}

// turn waits until another warm pod may start, or ctx is over. next is called when
// this one has, and may be called again.
func (l *Launcher) turn(ctx context.Context) (next func()) {
	select {
	case l.starts <- struct{}{}:
		return sync.OnceFunc(func() { <-l.starts })
	case <-ctx.Done():
		return func() {}
	}
}

// startTime is how long a start may keep others waiting: many times what one takes.
const startTime = 5 * time.Second

// dialled waits until the process's sandboxd dials, as far as the machine can tell.
func dialled(process Process) {
	dialling, ok := process.(interface{ Dialled() <-chan struct{} })
	if !ok {
		return
	}
	timer := time.NewTimer(startTime)
	defer timer.Stop()
	select {
	case <-dialling.Dialled():
	case <-process.Done():
	case <-timer.C:
	}
}

// update changes a pod and tells.
func (l *Launcher) update(p *pod, change func()) {
	l.mu.Lock()
	was := p.Phase
	if change(); p.Phase != was {
		p.Since = time.Now()
	}
	now := p.Pod
	l.mu.Unlock()
	l.changed(now)
}

// Open refuses what would open something: there is no network to open.
func (l *Launcher) Open(_ context.Context, _ launcher.Pod, _ string, access *llmsafespacev1.NetworkAccess) error {
	if notes := shortfalls(access, nil); len(notes) > 0 {
		return notSupported(notes[0])
	}
	return nil
}

// Delete kills the pod.
func (l *Launcher) Delete(_ context.Context, namespace, name string, uid types.UID) error {
	key := cache.ObjectName{Namespace: namespace, Name: name}
	l.mu.Lock()
	p := l.pods[key]
	if p == nil || uid != "" && p.UID != uid || p.deleted {
		l.mu.Unlock()
		return nil
	}
	p.deleted = true
	if p.Phase == launcher.PodEnded {
		p.Phase = launcher.PodGone
		delete(l.pods, key)
	} else {
		p.Phase = launcher.PodStopping
		p.kill()
	}
	p.Since = time.Now()
	now := p.Pod
	l.mu.Unlock()
	l.changed(now)
	return nil
}

// Release does nothing: nothing outlives a pod.
func (l *Launcher) Release(context.Context, launcher.Owner) error { return nil }

// Pod gives one pod.
func (l *Launcher) Pod(namespace, name string) (launcher.Pod, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if p := l.pods[cache.ObjectName{Namespace: namespace, Name: name}]; p != nil {
		return p.Pod, true
	}
	return launcher.Pod{}, false
}

// Pods gives all.
func (l *Launcher) Pods() []launcher.Pod {
	l.mu.Lock()
	defer l.mu.Unlock()
	pods := make([]launcher.Pod, 0, len(l.pods))
	for _, p := range l.pods {
		pods = append(pods, p.Pod)
	}
	return pods
}

// Run ends every pod when ctx ends, and returns when nothing is left of them.
func (l *Launcher) Run(ctx context.Context) error {
	<-ctx.Done()
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.end()
	l.running.Wait()
	if machine, ok := l.options.Machine.(io.Closer); ok {
		return machine.Close()
	}
	return nil
}
