// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package llmjob

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"safebeam.dev/safebeam/pkg/provider"
	tightbeampb "safebeam.dev/safebeam/proto/tightbeam/v1"
)

// Config is what a job is made of.
type Config struct {
	// ControllerAddr is host:port of the gateway.
	ControllerAddr string
	ModelName      string
	JobID          string
	// SecretDir is the Secret's directory; empty means none, and then only
	// the provider echo can be called.
	SecretDir string
	// CAFile holds the only CA that may have signed the gateway's certificate.
	CAFile string
	// ServerName is the name in it, where that is not ControllerAddr's host.
	ServerName string
	// TokenFile holds the bearer token; it is read again for every call.
	TokenFile string
	// IdleTimeout is how long the job stays without work; 0 means for ever.
	IdleTimeout time.Duration
	// TurnsPerJob is how many turns run at once.
	TurnsPerJob int
	// ShutdownGrace is how long running turns may go on once the job was asked
	// to leave.
	ShutdownGrace time.Duration
	// ProviderIdleTimeout is how long a provider may be silent; 0 means
	// provider.DefaultIdleTimeout.
	ProviderIdleTimeout time.Duration
	// NewProvider makes the provider of that name.
	NewProvider func(name string, cfg provider.Config) (provider.Provider, error)
	Log         *slog.Logger

	timing *timing // tests only
}

// GatewayError is a gateway that could not be reached, or refused the job.
type GatewayError struct{ err error }

func (e *GatewayError) Error() string { return "gateway: " + e.err.Error() }
func (e *GatewayError) Unwrap() error { return e.err }

// Run serves turns until ctx ends or there is no work. It returns nil then, a
// *SecretError for a bad Secret, a *GatewayError for a gateway that is away.
// The turns that run when ctx ends may finish within the grace; after it they
// are handed over.
func Run(ctx context.Context, cfg Config) error {
	j, err := newJob(cfg)
	if err != nil {
		return err
	}
	conn, err := dial(cfg)
	if err != nil {
		return err
	}
	defer conn.Close()
	j.client = tightbeampb.NewTightbeamControllerClient(conn)
	return j.run(ctx)
}

type job struct {
	cfg    Config
	client tightbeampb.TightbeamControllerClient
	secret *secretDir
	pool   *providers
	timing timing
	log    *slog.Logger

	mu      sync.Mutex
	running int
	// quiet is since when no turn runs.
	quiet time.Time
}

func newJob(cfg Config) (*job, error) {
	if cfg.TurnsPerJob < 1 {
		return nil, fmt.Errorf("turns per job is %d, want at least 1", cfg.TurnsPerJob)
	}
	j := &job{cfg: cfg, timing: defaultTiming, log: cfg.Log, quiet: time.Now()}
	if cfg.timing != nil {
		j.timing = *cfg.timing
	}
	if j.log == nil {
		j.log = slog.New(slog.DiscardHandler)
	}
	j.pool = &providers{make: cfg.NewProvider, idle: cfg.ProviderIdleTimeout}
	if cfg.SecretDir != "" {
		var err error
		if j.secret, err = openSecretDir(cfg.SecretDir); err != nil {
			return nil, err
		}
	}
	return j, nil
}

func (j *job) run(ctx context.Context) error {
	// stop ends the turns: when the grace after ctx is over.
	stop, halt := context.WithCancel(context.WithoutCancel(ctx))
	defer halt()
	defer context.AfterFunc(ctx, func() {
		j.log.Info("Shutting down", "running", j.busy(), "grace", j.cfg.ShutdownGrace)
		time.AfterFunc(j.cfg.ShutdownGrace, halt)
	})()

	var turns sync.WaitGroup
	defer turns.Wait()
	slots := make(chan struct{}, j.cfg.TurnsPerJob)
	polls, ctx := errgroup.WithContext(ctx)
	for range min(j.cfg.TurnsPerJob, maxPolls) {
		polls.Go(func() error { return j.poll(ctx, stop, slots, &turns) })
	}
	return polls.Wait()
}

// maxPolls is how many calls of a job wait for turns at a time. A turn begins
// with its create where one waits; behind a single one the next turn would come
// while the answer is still on its way.
const maxPolls = 4

// poll takes turns, as there are slots, until ctx ends or there is no work.
func (j *job) poll(ctx, stop context.Context, slots chan struct{}, turns *sync.WaitGroup) error {
	poll := &poller{job: j, wait: newBackoff(j.timing), contact: time.Now()}
	for {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return nil
		}
		a, err := poll.next(ctx)
		if err != nil || a == nil {
			<-slots
			return err
		}
		j.begin()
		turns.Go(func() {
			defer func() { j.end(); <-slots }()
			j.serve(stop, a)
		})
		// The turn goes first, the next question after it: a user waits for one of
		// them.
		runtime.Gosched()
	}
}

func (j *job) serve(stop context.Context, a *tightbeampb.TurnAssignment) {
	log := j.log.With("namespace", a.GetNamespace(), "turn", a.GetTurn(), "uid", a.GetTurnUid(), "attempt", a.GetAttempt())
	t := &attempt{assignment: a, client: j.client, provider: j.pool.get, timing: j.timing, log: log}
	if j.secret != nil {
		s, changed, err := j.secret.get()
		if changed {
			log.Info("The Secret changed")
			j.pool.forget()
		}
		if err != nil {
			log.Warn("The Secret changed and cannot be read, going on with the one before", "err", err)
		}
		t.secret = s
	}
	start := time.Now()
	if err := t.run(stop); err != nil {
		log.Error("Attempt given up", "err", err, "after", time.Since(start))
		return
	}
	log.Info("Attempt done", "after", time.Since(start))
}

func (j *job) begin() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.running++
}

func (j *job) end() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.running--
	j.quiet = time.Now()
}

func (j *job) busy() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.running
}

// idle is how long no turn has run.
func (j *job) idle() time.Duration {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.running > 0 {
		return 0
	}
	return time.Since(j.quiet)
}

// foreverPoll is how long one GetTurn waits where there is no idle timeout.
const foreverPoll = 5 * time.Minute

// poller asks for turns, one call at a time.
type poller struct {
	job  *job
	wait *backoff
	// contact is when the gateway last answered.
	contact time.Time
}

// next returns a turn, or nil when the job should leave.
func (p *poller) next(ctx context.Context) (*tightbeampb.TurnAssignment, error) {
	j := p.job
	for {
		left := foreverPoll
		if j.cfg.IdleTimeout > 0 {
			if left = j.cfg.IdleTimeout - j.idle(); left <= 0 {
				j.log.Info("Leaving: no work", "idle", j.cfg.IdleTimeout)
				return nil, nil
			}
		}
		call, cancel := context.WithTimeout(ctx, left)
		a, err := j.client.GetTurn(call, &tightbeampb.GetTurnRequest{JobId: j.cfg.JobID, ModelName: j.cfg.ModelName})
		timedOut := call.Err() != nil
		cancel()
		if err == nil {
			p.contact = time.Now()
			p.wait.reset()
			return a, nil
		}
		if ctx.Err() != nil {
			return nil, nil
		}
		if code := status.Code(err); code == codes.DeadlineExceeded || (timedOut && code == codes.Canceled) {
			p.contact = time.Now()
			p.wait.reset()
			continue
		}
		if !retryable(err) && status.Code(err) != codes.Aborted {
			return nil, &GatewayError{err}
		}
		limit := j.timing.patience
		if refused(err) {
			limit = j.timing.refusals
		}
		// A turn that still runs has its own patience; the job stays for it.
		if away := time.Since(p.contact); away > limit && j.busy() == 0 {
			return nil, &GatewayError{fmt.Errorf("away for %s: %w", away.Round(time.Second), err)}
		}
		j.log.Warn("Asking for a turn failed, trying again", "err", err)
		if p.wait.sleep(ctx) != nil {
			return nil, nil
		}
	}
}

// ExitCode is what a job exits with after Run returned err, and the message
// that it leaves behind.
func ExitCode(err error) (code int, message string) {
	var se *SecretError
	var ge *GatewayError
	switch {
	case err == nil:
		return ExitOK, ""
	case errors.As(err, &se):
		return ExitSecretInvalid, ReasonSecretInvalid + ": " + se.Error()
	case errors.As(err, &ge):
		return ExitGateway, ReasonGateway + ": " + ge.Error()
	}
	return ExitFailure, err.Error()
}
