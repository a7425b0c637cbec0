// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"

	"safebeam.dev/safebeam/pkg/launcher"
)

const (
	// drainGrace is how long a job that was asked to leave may finish the
	// turns that it holds: the default deadline of a turn.
	drainGrace = 10 * time.Minute
	// shutdownGrace is how long jobs get when the whole launcher ends.
	shutdownGrace = 5 * time.Second
	// tidyPeriod is how often logs are cut. Between two looks a log may grow
	// past its bound by what its job writes in that time.
	tidyPeriod = 5 * time.Second
)

// RoleLLMJob is the role in the identity of LLM jobs.
const RoleLLMJob = "llm-job"

// Identity says what the bearer of a token is.
type Identity struct {
	Role      string
	Namespace string
	// Name of the object that it serves: the TightbeamModel.
	Name string
	// Job is the name of the job.
	Job string
}

// Tokens makes the gateway know the jobs.
type Tokens interface {
	// IssueToken makes a token that the gateway takes for identity until
	// revoke is called.
	IssueToken(identity Identity) (token string, revoke func())
	// RestoreToken makes the gateway take a token again that an earlier
	// process issued.
	RestoreToken(identity Identity, token string) (revoke func())
}

// Options are what the launcher needs to know.
type Options struct {
	// Binary is safebeam-llm-job; FindBinary finds it.
	Binary string
	// Dir is where jobs have their directories. It is made if missing.
	Dir string
	// SecretsDir has one directory for each Secret. It is made if missing.
	SecretsDir string
	// GatewayAddress is where jobs dial.
	GatewayAddress string
	// GatewayCAFile has the certificates that the gateway's must come from.
	GatewayCAFile string
	Tokens        Tokens
	// DrainGrace and ShutdownGrace are set by tests alone.
	DrainGrace, ShutdownGrace time.Duration
}

// Launcher runs jobs as child processes.
type Launcher struct {
	options Options
	secrets *secretWatch

	mu     sync.Mutex
	closed bool
	jobs   map[string]*job
	notify func(cache.ObjectName)
	// running counts the goroutines that wait for a process. It is added to
	// under mu, and not once closed is set.
	running sync.WaitGroup
}

// job is the launcher's side of a job. Its fields but the constant ones are
// guarded by the launcher's mu.
type job struct {
	launcher.Job
	dir     string
	process process
	revoke  func()
	// kill ends the grace period of a job that was asked to leave.
	kill *time.Timer
	// gone is closed when the process is.
	gone chan struct{}
}

// New prepares the directories and takes over the jobs of an earlier process.
func New(ctx context.Context, options Options) (*Launcher, error) {
	if options.DrainGrace == 0 {
		options.DrainGrace = drainGrace
	}
	if options.ShutdownGrace == 0 {
		options.ShutdownGrace = shutdownGrace
	}
	var err error
	for _, dir := range []*string{&options.Dir, &options.SecretsDir} {
		// Jobs have another working directory.
		if *dir, err = filepath.Abs(*dir); err != nil {
			return nil, err
		}
		if err := os.MkdirAll(*dir, 0o700); err != nil {
			return nil, fmt.Errorf("making the directory of jobs and that of secrets: %w", err)
		}
	}
	if options.GatewayCAFile != "" {
		if options.GatewayCAFile, err = filepath.Abs(options.GatewayCAFile); err != nil {
			return nil, err
		}
	}
	l := &Launcher{options: options, jobs: map[string]*job{}, notify: func(cache.ObjectName) {}}
	l.secrets = newSecretWatch(ctx, options.SecretsDir, l.changed)
	l.adopt(ctx)
	l.prune(ctx)
	return l, nil
}

// Notify has changed called for each model whose jobs or Secret change.
func (l *Launcher) Notify(changed func(model cache.ObjectName)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.notify = changed
}

func (l *Launcher) changed(model cache.ObjectName) {
	l.mu.Lock()
	notify := l.notify
	l.mu.Unlock()
	notify(model)
}

// Revision names the version of the Secret's directory.
func (l *Launcher) Revision(spec launcher.JobSpec) (string, error) {
	return l.secrets.revision(modelOf(spec), spec.SecretName)
}

// Launch starts the job's process.
func (l *Launcher) Launch(ctx context.Context, what launcher.Job) error {
	// A job that began in front of a Secret that is gone would say so itself,
	// but later.
	if _, err := l.Revision(what.Spec); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return errors.New("launching a job: the launcher has ended")
	}
	if _, exists := l.jobs[what.Name]; exists {
		return nil // launched before: Launch is idempotent by name
	}
	what.StartTime = time.Now()
	j := &job{Job: what, dir: filepath.Join(l.options.Dir, what.Name), gone: make(chan struct{})}
	token, revoke := l.options.Tokens.IssueToken(identity(what))
	j.revoke = revoke
	started, err := l.start(j, token)
	if err != nil {
		revoke()
		return fmt.Errorf("launching job %s: %w", what.Name, errors.Join(err, os.RemoveAll(j.dir)))
	}
	l.supervise(ctx, j, started)
	return nil
}

// supervise lists the job and waits for its process. The caller holds mu, or
// is alone.
func (l *Launcher) supervise(ctx context.Context, j *job, p process) {
	j.process = p
	l.jobs[j.Name] = j
	// Whoever called will be gone long before the job.
	logger := klog.FromContext(ctx)
	l.running.Go(func() {
		code := p.wait()
		l.exited(logger, j, code)
	})
}

func (l *Launcher) exited(logger klog.Logger, j *job, code exitStatus) {
	j.revoke()
	// What the job may have left behind in its group.
	j.process.signalGroup(sigKill)
	message := readTerminationMessage(j.dir)
	if err := os.Remove(filepath.Join(j.dir, tokenFile)); err != nil && !errors.Is(err, os.ErrNotExist) {
		logger.Error(err, "Could not remove the token of a job that is gone; it is revoked", "job", j.Name)
	}

	l.mu.Lock()
	if j.kill != nil {
		j.kill.Stop()
	}
	exit := exitOf(code, message, j.Stopping)
	exit.Time = time.Now()
	j.Exit = &exit
	l.mu.Unlock()

	logger.V(2).Info("A job has exited", "job", j.Name, "reason", exit.Reason, "message", exit.Message)
	close(j.gone)
	l.changed(modelOf(j.Spec))
}

// List gives the jobs of a model, the oldest first.
func (l *Launcher) List(model cache.ObjectName) []launcher.Job {
	l.mu.Lock()
	defer l.mu.Unlock()
	var jobs []launcher.Job
	for _, j := range l.jobs {
		if modelOf(j.Spec) == model {
			jobs = append(jobs, j.Job)
		}
	}
	slices.SortFunc(jobs, func(a, b launcher.Job) int { return a.StartTime.Compare(b.StartTime) })
	return jobs
}

// Models are those that there are jobs of.
func (l *Launcher) Models() []cache.ObjectName {
	l.mu.Lock()
	defer l.mu.Unlock()
	var models []cache.ObjectName
	for _, j := range l.jobs {
		if model := modelOf(j.Spec); !slices.Contains(models, model) {
			models = append(models, model)
		}
	}
	return models
}

// Stop asks a job to finish its turns and leave, and kills it if it takes
// longer than the turns' own deadline.
func (l *Launcher) Stop(_ context.Context, name string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	j := l.jobs[name]
	if j == nil || j.Exit != nil || j.Stopping {
		return nil
	}
	l.stop(j, l.options.DrainGrace)
	return nil
}

func (l *Launcher) stop(j *job, grace time.Duration) {
	j.Stopping = true
	j.process.signalGroup(sigTerm)
	if j.kill != nil {
		j.kill.Stop()
	}
	j.kill = time.AfterFunc(grace, func() { j.process.signalGroup(sigKill) })
}

// Forget drops an exited job from the list.
func (l *Launcher) Forget(ctx context.Context, name string) error {
	l.mu.Lock()
	if j := l.jobs[name]; j != nil && j.Exit != nil {
		delete(l.jobs, name)
	}
	l.mu.Unlock()
	l.prune(ctx)
	return nil
}

// Enclose has nothing to do: child processes share the network of the host.
func (l *Launcher) Enclose(context.Context, cache.ObjectName, types.UID) error { return nil }

// Run watches secrets and logs until ctx ends, and then ends all jobs.
func (l *Launcher) Run(ctx context.Context) error {
	var tasks sync.WaitGroup
	tasks.Go(func() { l.secrets.run(ctx) })
	tasks.Go(func() {
		ticker := time.NewTicker(tidyPeriod)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
				l.capLogs(ctx)
			}
		}
	})
	<-ctx.Done()

	l.mu.Lock()
	l.closed = true
	for _, j := range l.jobs {
		if j.Exit == nil {
			l.stop(j, l.options.ShutdownGrace)
		}
	}
	l.mu.Unlock()
	l.running.Wait()
	tasks.Wait()
	return nil
}

func modelOf(spec launcher.JobSpec) cache.ObjectName {
	return cache.ObjectName{Namespace: spec.Namespace, Name: spec.Model}
}

func identity(j launcher.Job) Identity {
	return Identity{Role: RoleLLMJob, Namespace: j.Spec.Namespace, Name: j.Spec.Model, Job: j.Name}
}
