// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package local

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"safebeam.dev/safebeam/pkg/launcher"
	"safebeam.dev/safebeam/pkg/llmjob"
)

// BinaryName is the program that a job runs.
const BinaryName = "safebeam-llm-job"

// FindBinary finds the program of jobs: the one that is asked for, else the
// one beside this program, else the one on PATH.
func FindBinary(asked string) (string, error) {
	if asked != "" {
		path, err := exec.LookPath(asked)
		if err != nil {
			return "", fmt.Errorf("--llm-job-binary: %w", err)
		}
		return filepath.Abs(path)
	}
	self, err := os.Executable()
	if err == nil {
		if path, err := exec.LookPath(filepath.Join(filepath.Dir(self), BinaryName)); err == nil {
			return path, nil
		}
	}
	path, err := exec.LookPath(BinaryName)
	if err != nil {
		return "", fmt.Errorf("%s is neither beside %s nor on PATH: build it, or name it with --llm-job-binary", BinaryName, self)
	}
	return filepath.Abs(path)
}

// passedOn are the variables of our own environment that a job gets: what it
// needs to reach a provider through a proxy and to verify it. Everything else
// stays out, API keys that a user has exported above all.
var passedOn = []string{
	"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
	"SSL_CERT_FILE", "SSL_CERT_DIR", "TZ", "PATH", "GOCOVERDIR",
}

func environment(j launcher.Job, gateway string, own []string) []string {
	env := []string{
		llmjob.EnvControllerAddr + "=" + gateway,
		llmjob.EnvModelName + "=" + j.Spec.Model,
		llmjob.EnvJobID + "=" + j.Name,
	}
	for _, variable := range own {
		if name, _, _ := strings.Cut(variable, "="); slices.Contains(passedOn, name) {
			env = append(env, variable)
		}
	}
	return env
}

// arguments of a job. There is no secret among them.
func (l *Launcher) arguments(j *job) ([]string, error) {
	idle := j.Spec.IdleTimeout
	if j.Warm {
		idle = 0
	}
	secret := ""
	if j.Spec.SecretName != "" {
		var err error
		if secret, err = secretDir(l.options.SecretsDir, j.Spec.SecretName); err != nil {
			return nil, err
		}
	}
	arguments := []string{
		flag(llmjob.FlagTokenFile, filepath.Join(j.dir, tokenFile)),
		flag(llmjob.FlagSecretDir, secret),
		flag(llmjob.FlagIdleTimeout, idle.String()),
		flag(llmjob.FlagTurnsPerJob, strconv.Itoa(int(j.Spec.TurnsPerJob))),
		flag(llmjob.FlagShutdownGrace, l.options.DrainGrace.String()),
		flag(llmjob.FlagTerminationMessagePath, filepath.Join(j.dir, terminationFile)),
	}
	if l.options.GatewayCAFile != "" {
		arguments = append(arguments, flag(llmjob.FlagCAFile, l.options.GatewayCAFile))
	}
	return arguments, nil
}

func flag(name, value string) string { return "--" + name + "=" + value }

// start makes the job's directory and starts its process. What it leaves
// behind on failure is the caller's to remove.
func (l *Launcher) start(j *job, token string) (process, error) {
	arguments, err := l.arguments(j)
	if err != nil {
		return nil, err
	}
	if err := os.Mkdir(j.dir, 0o700); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(j.dir, tokenFile), []byte(token), 0o600); err != nil {
		return nil, err
	}
	log, err := os.OpenFile(filepath.Join(j.dir, logFile), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close() // the process has its own

	cmd := exec.Command(l.options.Binary, arguments...)
	cmd.Env = environment(j.Job, l.options.GatewayAddress, os.Environ())
	cmd.Dir = j.dir
	// A file, not a pipe: the job must be able to write after our death.
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = groupOfItsOwn()
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	started := child{cmd}
	identity, err := identifyProcess(cmd.Process.Pid)
	if errors.Is(err, os.ErrProcessDone) {
		return started, nil // gone already; there is nothing to take over
	}
	if err == nil {
		err = writeRecord(j.dir, record{Job: j.Job, PID: cmd.Process.Pid, Process: identity, GatewayAddress: l.options.GatewayAddress})
	}
	if err != nil {
		// A process that a successor could not find must not be.
		started.signalGroup(sigKill)
		started.wait()
		return nil, err
	}
	return started, nil
}

// exitOf says how a job ended in the words of conditions.
func exitOf(status exitStatus, message string, stopping bool) launcher.Exit {
	exit := launcher.Exit{Reason: launcher.ReasonJobFailed, Message: message}
	if text, found := strings.CutPrefix(message, llmjob.ReasonSecretInvalid+": "); found {
		exit.Reason, exit.Message = launcher.ReasonSecretInvalid, text
	}
	switch {
	case status.known && status.code == llmjob.ExitOK,
		// A job that was asked to leave and took too long was killed by us.
		stopping,
		// The exit code of a job taken over is not told to us. One that failed
		// says why in its message.
		!status.known && message == "":
		exit.Reason = launcher.ReasonCompleted
	case status.known && status.code == llmjob.ExitSecretInvalid:
		exit.Reason = launcher.ReasonSecretInvalid
	}
	if exit.Message == "" {
		exit.Message = "job ended: " + status.description
	}
	return exit
}
