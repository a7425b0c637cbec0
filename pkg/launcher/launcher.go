// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package launcher says what a job is, whoever runs it. The launchers
// themselves are the packages below: local runs jobs as child processes,
// kubernetes as batch/v1 Jobs.
//
// Laws of every launcher:
//   - A job has one name for life, and a name is never given to another job.
//   - An exited job stays listed, with its exit, until it is forgotten.
//   - What a launcher cannot honour it refuses with a Refusal, which becomes a
//     condition; it never does less in silence.
package launcher

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/rand"
)

// The reasons of exits and refusals, as the condition Ready of a model has
// them.
const (
	// ReasonSecretNotFound: the Secret that the model names does not exist.
	ReasonSecretNotFound = "SecretNotFound"
	// ReasonSecretInvalid: the job found a key of the Secret missing or wrong.
	ReasonSecretInvalid = "SecretInvalid"
	// ReasonImageNotAllowed: the image is not one of --allowed-job-images.
	ReasonImageNotAllowed = "ImageNotAllowed"
	// ReasonJobFailed: the job could not be started, or exited with a failure.
	ReasonJobFailed = "JobFailed"
	// ReasonCompleted: the job exited of its own will, by idle timeout or
	// because it was asked to stop.
	ReasonCompleted = "Completed"
)

// JobSpec is what an LLM job is made of.
type JobSpec struct {
	Namespace string
	// Model and ModelUID are the TightbeamModel that the job serves.
	Model    string
	ModelUID types.UID
	// SecretName may be empty: provider echo needs none.
	SecretName string
	// Image is for launchers that run images. Empty: the launcher's default.
	Image string
	// Egress is for launchers that have a network to close. nil: the default.
	Egress []networkingv1.NetworkPolicyEgressRule
	// IdleTimeout is how long the job stays without work.
	IdleTimeout time.Duration
	// TurnsPerJob is how many turns the job runs at the same time.
	TurnsPerJob int32
}

// Hash names the content of a spec: jobs of equal specs may stand in for each
// other, others are replaced.
func (s JobSpec) Hash() string {
	// Struct fields marshal in the order of their declaration, and the spec
	// has no maps but those of API types, which JSON sorts.
	raw, err := json.Marshal(s)
	if err != nil {
		panic(fmt.Sprintf("a job spec always marshals: %v", err))
	}
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:8])
}

// Job is a job as its launcher sees it.
type Job struct {
	Name string
	Spec JobSpec
	// Warm marks a job that is kept without work: it has no idle timeout.
	Warm      bool
	StartTime time.Time
	// Stopping: the job was asked to finish its turns and leave.
	Stopping bool
	// Exit is set once the job is gone.
	Exit *Exit
}

// Live reports whether the job takes turns, or will.
func (j Job) Live() bool { return j.Exit == nil && !j.Stopping }

// Exit says how a job ended.
type Exit struct {
	Time time.Time
	// Reason is one of the reasons above.
	Reason string
	// Message is the job's own last word, else the launcher's.
	Message string
}

// Failed reports whether the job ended against its will.
func (e Exit) Failed() bool { return e.Reason != ReasonCompleted }

// Refusal is the error of a launcher that will not launch a spec until the
// model, or what it names, has changed. Trying again alone does not help.
type Refusal struct {
	Reason  string
	Message string
}

func (r *Refusal) Error() string { return r.Message }

// NewJobName makes up a name: tightbeam-llm-MODEL-ID. It fits a Kubernetes
// label, which Job names end up in.
func NewJobName(model string) string {
	const prefix, idLength, maxLength = "tightbeam-llm-", 8, 63
	room := maxLength - len(prefix) - 1 - idLength
	if len(model) > room {
		model = strings.TrimRight(model[:room], "-.")
	}
	// A model's name may have dots, a pod's hostname may not.
	return prefix + strings.ReplaceAll(model, ".", "-") + "-" + rand.String(idLength)
}
