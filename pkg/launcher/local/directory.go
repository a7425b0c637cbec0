// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package local

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"k8s.io/klog/v2"

	"safebeam.dev/safebeam/pkg/launcher"
)

// The files in a job's directory.
const (
	recordFile      = "job.json"
	tokenFile       = "token"
	terminationFile = "termination-message"
	logFile         = "log"
	oldLogFile      = "log.old"
)

const (
	// maxLog is the size past which a log is moved to log.old and begun anew.
	maxLog = 4 << 20
	// keptJobs is how many directories of exited jobs are kept.
	keptJobs = 20
	// maxTerminationMessage is what Kubernetes allows, too.
	maxTerminationMessage = 4096
)

// record is what the next process must know to take a job over.
type record struct {
	Job            launcher.Job
	PID            int
	Process        string
	GatewayAddress string
}

// writeRecord stores the record in one step: a reader sees all of it or none.
// It is not synced, since no process outlives a crash of the machine.
func writeRecord(dir string, r record) error {
	raw, err := json.Marshal(r)
	if err != nil {
		return err
	}
	temporary := filepath.Join(dir, recordFile+".new")
	if err := os.WriteFile(temporary, raw, 0o600); err != nil {
		return err
	}
	return os.Rename(temporary, filepath.Join(dir, recordFile))
}

func readRecord(dir string) (record, error) {
	var r record
	raw, err := os.ReadFile(filepath.Join(dir, recordFile))
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(raw, &r); err != nil {
		return r, fmt.Errorf("%s: %w", filepath.Join(dir, recordFile), err)
	}
	return r, nil
}

// readTerminationMessage gives the job's last word. There need not be one.
func readTerminationMessage(dir string) string {
	file, err := os.Open(filepath.Join(dir, terminationFile))
	if err != nil {
		return ""
	}
	defer file.Close()
	raw, err := io.ReadAll(io.LimitReader(file, maxTerminationMessage))
	if err != nil {
		return ""
	}
	return strings.ToValidUTF8(strings.TrimSpace(string(raw)), "�")
}

// capLogs begins the logs anew that have grown past their bound. The job has
// its log open for appending, so the file is emptied, not replaced; what is
// written between the copy and that is lost.
func (l *Launcher) capLogs(ctx context.Context) {
	l.mu.Lock()
	var dirs []string
	for _, j := range l.jobs {
		if j.Exit == nil {
			dirs = append(dirs, j.dir)
		}
	}
	l.mu.Unlock()
	for _, dir := range dirs {
		if err := capLog(dir); err != nil {
			klog.FromContext(ctx).Error(err, "Could not cut the log of a job", "dir", dir)
		}
	}
}

func capLog(dir string) error {
	name := filepath.Join(dir, logFile)
	log, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer log.Close()
	info, err := log.Stat()
	if err != nil || info.Size() <= maxLog {
		return err
	}
	old, err := os.OpenFile(filepath.Join(dir, oldLogFile), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	// The end tells more than the beginning.
	_, err = io.Copy(old, io.NewSectionReader(log, info.Size()-maxLog, maxLog))
	return errors.Join(err, old.Close(), log.Truncate(0))
}

// prune removes the directories of all but the last exited jobs.
func (l *Launcher) prune(ctx context.Context) {
	logger := klog.FromContext(ctx)
	entries, err := os.ReadDir(l.options.Dir)
	if err != nil {
		logger.Error(err, "Could not read the directory of jobs")
		return
	}
	type exited struct {
		dir string
		at  time.Time
	}
	var gone []exited
	l.mu.Lock()
	for _, entry := range entries {
		if l.jobs[entry.Name()] != nil {
			continue
		}
		if info, err := entry.Info(); err == nil {
			gone = append(gone, exited{filepath.Join(l.options.Dir, entry.Name()), info.ModTime()})
		}
	}
	l.mu.Unlock()
	slices.SortFunc(gone, func(a, b exited) int { return b.at.Compare(a.at) })
	for i, job := range gone {
		if i < keptJobs {
			continue
		}
		if err := os.RemoveAll(job.dir); err != nil {
			logger.Error(err, "Could not remove the directory of a job that is gone", "dir", job.dir)
		}
	}
}
