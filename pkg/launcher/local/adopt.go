// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"k8s.io/klog/v2"
)

// adopt takes over the jobs that an earlier process left running, and ends
// those that cannot be taken over.
func (l *Launcher) adopt(ctx context.Context) {
	logger := klog.FromContext(ctx)
	entries, err := os.ReadDir(l.options.Dir)
	if err != nil {
		logger.Error(err, "Could not look for jobs of an earlier process")
		return
	}
	for _, entry := range entries {
		dir := filepath.Join(l.options.Dir, entry.Name())
		r, err := readRecord(dir)
		if err != nil {
			// Of a job whose start was cut short. If its process did start, it
			// has a token that nobody knows, and leaves.
			continue
		}
		found, err := findOrphan(r.PID, r.Process)
		if err != nil {
			_ = os.Remove(filepath.Join(dir, tokenFile))
			continue
		}
		if err := l.takeOver(ctx, dir, r, found); err != nil {
			logger.Info("Ended a job of an earlier process", "job", r.Job.Name, "why", err.Error())
			found.signalGroup(sigKill)
			found.wait()
			_ = os.Remove(filepath.Join(dir, tokenFile))
			continue
		}
		logger.Info("Took over a job of an earlier process", "job", r.Job.Name, "pid", r.PID)
	}
}

func (l *Launcher) takeOver(ctx context.Context, dir string, r record, found orphan) error {
	switch {
	case r.Job.Name != filepath.Base(dir):
		return errors.New("its record is another job's")
	case r.GatewayAddress != l.options.GatewayAddress:
		return fmt.Errorf("it dials %s, the gateway is at %s", r.GatewayAddress, l.options.GatewayAddress)
	}
	token, err := os.ReadFile(filepath.Join(dir, tokenFile))
	if err != nil {
		return err
	}
	j := &job{Job: r.Job, dir: dir, gone: make(chan struct{})}
	j.Stopping, j.Exit = false, nil
	j.revoke = l.options.Tokens.RestoreToken(identity(j.Job), strings.TrimSpace(string(token)))
	l.supervise(ctx, j, found)
	return nil
}
