// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package live

import (
	"context"
	"fmt"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apiserver/pkg/storage"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"

	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/pkg/gateway/bindings"
	"safebeam.dev/safebeam/pkg/gateway/sandboxes"
	"safebeam.dev/safebeam/pkg/gateway/statuses"
)

// Bindings say whose a pod is.
type Bindings interface {
	ByPod(podUID types.UID) (bindings.Binding, bool)
	ByOwner(uid types.UID) (bindings.Binding, bool)
}

// Options of Live. The zero value of each but Bindings means its default.
type Options struct {
	Bindings Bindings
	Clock    clock.WithTickerAndDelayedExecution
	// DisconnectGrace is how long a sandbox may be away before it is said to be,
	// and RecoverGrace the same after a restart, when all come back at once.
	DisconnectGrace time.Duration
	RecoverGrace    time.Duration
	// AcquireWait is how long a caller waits for a sandbox that is away.
	AcquireWait time.Duration
	// Observer is told what happens, for metrics. Default: nobody.
	Observer Observer
}

// Live knows the sandboxes of this server.
type Live struct {
	Options
	store  statuses.Store[*v1.Sandbox]
	logger klog.Logger

	ctx    context.Context
	cancel context.CancelFunc
	tasks  sync.WaitGroup

	mu          sync.Mutex
	stopped     bool
	connections *sandboxes.Server
	sandboxes   map[types.UID]*tracked
	names       map[types.NamespacedName]types.UID
	changed     []func(types.UID)
	warm        []func(bindings.Binding, bool)
}

// tracked is what is known of one sandbox.
type tracked struct {
	// object is the newest that was seen; it is not changed in place.
	object  *v1.Sandbox
	version uint64
	// created is when this process saw it come to be; zero if another one did.
	created time.Time
	pod     types.UID // once it was connected, or handed out

	connected bool
	reason    error     // why it is not
	reported  time.Time // when somebody else was last refused in its name
	away      clock.Timer
	expiry    clock.Timer
	expiresAt time.Time // what expiry was set for

	activity activity
}

// New makes Live. Wrap comes before Recover, and that before Run.
func New(o Options) *Live {
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	if o.DisconnectGrace == 0 {
		o.DisconnectGrace = 10 * time.Second
	}
	if o.RecoverGrace == 0 {
		o.RecoverGrace = time.Minute
	}
	if o.AcquireWait == 0 {
		o.AcquireWait = 3 * time.Second
	}
	if o.Observer == nil {
		o.Observer = nobody{}
	}
	ctx, cancel := context.WithCancel(context.Background())
	return &Live{
		Options: o, logger: klog.Background().WithName("sandboxes"), ctx: ctx, cancel: cancel,
		sandboxes: map[types.UID]*tracked{}, names: map[types.NamespacedName]types.UID{},
	}
}

// Serve gives Live the connections, whose Observer it has to be. It is called
// once, before the first of them.
func (l *Live) Serve(connections *sandboxes.Server) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.connections = connections
}

// OnChange has f called whenever the newest object of a sandbox, or whether it is
// connected, has changed. f must not block, asks for what there is now, and is
// added before Recover.
func (l *Live) OnChange(f func(uid types.UID)) { l.changed = append(l.changed, f) }

// OnWarmPod has f called when the sandboxd of a WarmPod connects, or goes. It must
// not block and is added before Serve.
func (l *Live) OnWarmPod(f func(b bindings.Binding, connected bool)) { l.warm = append(l.warm, f) }

func (l *Live) notify(uid types.UID) {
	for _, f := range l.changed {
		f(uid)
	}
}

// Get returns the newest object of a sandbox, nil if there is none. Nobody changes
// it.
func (l *Live) Get(uid types.UID) *v1.Sandbox {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s := l.sandboxes[uid]; s != nil {
		return s.object
	}
	return nil
}

// Find returns the newest object by its name, nil if there is none.
func (l *Live) Find(namespace, name string) *v1.Sandbox {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s := l.sandboxes[l.names[types.NamespacedName{Namespace: namespace, Name: name}]]; s != nil {
		return s.object
	}
	return nil
}

// Over reports whether the owner of a pod is a sandbox that is over, or about to
// be: its sandboxd is not let in any more.
func (l *Live) Over(b bindings.Binding) bool {
	object := l.Get(b.Owner.UID)
	return object != nil && over(object)
}

// over: nobody uses the sandbox any more.
func over(object *v1.Sandbox) bool {
	return object.DeletionTimestamp != nil || object.Status.Phase == v1.SandboxTerminating || object.Status.Phase.Terminal()
}

// Recover takes up what the process before left. No request is served before it
// has returned.
func (l *Live) Recover(ctx context.Context) error {
	objects, err := l.store.List(ctx, func(*v1.Sandbox) bool { return true })
	if err != nil {
		return err
	}
	for _, object := range objects {
		l.observe(object, false)
		if object.Status.Phase == v1.SandboxRunning {
			l.mu.Lock()
			l.watchAway(l.sandboxes[object.UID], l.RecoverGrace)
			l.mu.Unlock()
		}
	}
	return nil
}

// Run has timers fire until ctx ends, and returns when everything that was begun
// has returned and the connections are closed: whoever uses them ends before.
func (l *Live) Run(ctx context.Context) error {
	ticker := l.Clock.NewTicker(activityInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C():
			l.writeActivity()
		case <-ctx.Done():
			l.mu.Lock()
			l.stopped = true
			l.mu.Unlock()
			l.cancel()
			l.tasks.Wait()
			l.mu.Lock()
			connections := l.connections
			l.mu.Unlock()
			if connections != nil {
				connections.Close()
			}
			return nil
		}
	}
}

// task runs f in a goroutine that Run waits for, unless that is over.
func (l *Live) task(f func(ctx context.Context)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.taskLocked(f)
}

func (l *Live) taskLocked(f func(ctx context.Context)) {
	if !l.stopped {
		l.tasks.Go(func() { f(l.ctx) })
	}
}

// after runs f as a task once d has passed.
func (l *Live) after(d time.Duration, f func(ctx context.Context)) clock.Timer {
	return l.Clock.AfterFunc(max(d, 0), func() { l.task(f) })
}

func stop(t clock.Timer) {
	if t != nil {
		t.Stop()
	}
}

// observe takes in the newest object. made says that this process has just seen
// it come to be.
func (l *Live) observe(object *v1.Sandbox, made bool) {
	version, err := storage.APIObjectVersioner{}.ObjectResourceVersion(object)
	if err != nil {
		panic(fmt.Sprintf("a stored sandbox has the resource version %q", object.ResourceVersion))
	}
	object = object.DeepCopy()
	l.mu.Lock()
	s := l.sandboxes[object.UID]
	if s == nil {
		s = &tracked{}
		l.sandboxes[object.UID] = s
		l.names[types.NamespacedName{Namespace: object.Namespace, Name: object.Name}] = object.UID
	}
	if made {
		s.created = l.Clock.Now()
	}
	if s.object != nil && version <= s.version {
		l.mu.Unlock()
		return // a newer one was seen
	}
	old := s.object
	s.object, s.version = object, version
	forget := types.UID("")
	if over(object) {
		stop(s.expiry)
		stop(s.away)
		stop(s.activity.timer)
		s.expiry, s.away, s.activity.timer = nil, nil, nil
		forget, s.pod = s.pod, ""
	} else if object.Status.Phase == v1.SandboxRunning {
		if made {
			l.claimed(s)
		}
		l.arm(s)
	}
	connections := l.connections
	l.mu.Unlock()
	if forget != "" && connections != nil {
		connections.Forget(forget)
	}
	l.observed(old, object, made)
	l.notify(object.UID)
}

// claimed takes in a sandbox that was Running from the first: its pod was there
// before it. The caller holds mu.
func (l *Live) claimed(s *tracked) {
	binding, ok := l.Bindings.ByOwner(s.object.UID)
	if !ok || l.connections == nil {
		return
	}
	s.pod, s.connected = binding.PodUID, l.connections.Lookup(binding.PodUID).Connected()
	s.activity.last = l.Clock.Now()
	if !s.connected {
		l.watchAway(s, l.DisconnectGrace) // it went in this very moment
	}
}

// forget is told that an object is gone.
func (l *Live) forget(object *v1.Sandbox) {
	l.mu.Lock()
	s := l.sandboxes[object.UID]
	delete(l.sandboxes, object.UID)
	name := types.NamespacedName{Namespace: object.Namespace, Name: object.Name}
	if l.names[name] == object.UID {
		delete(l.names, name)
	}
	pod := types.UID("")
	if s != nil {
		stop(s.expiry)
		stop(s.away)
		stop(s.activity.timer)
		pod = s.pod
	}
	connections := l.connections
	l.mu.Unlock()
	if pod != "" && connections != nil {
		connections.Forget(pod)
	}
	l.Observer.SandboxDeleted(object)
	l.notify(object.UID)
}
