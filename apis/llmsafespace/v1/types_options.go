// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package v1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// SandboxExecOptions are the parameters of sandboxes/exec.
type SandboxExecOptions struct {
	metav1.TypeMeta `json:",inline"`

	// stdin says that the client sends standard input.
	// +optional
	Stdin bool `json:"stdin,omitempty"`
	// stdout says that the client wants standard output.
	// +optional
	Stdout bool `json:"stdout,omitempty"`
	// stderr says that the client wants standard error. With tty there is none.
	// +optional
	Stderr bool `json:"stderr,omitempty"`
	// tty gives the command a terminal.
	// +optional
	TTY bool `json:"tty,omitempty"`
	// command is the program and its arguments, without a shell in between. It is
	// given once for each of them.
	// +listType=atomic
	Command []string `json:"command"`
}

// SwaggerDoc describes the parameters in OpenAPI.
func (SandboxExecOptions) SwaggerDoc() map[string]string {
	return map[string]string{
		"stdin":   "stdin says that the client sends standard input.",
		"stdout":  "stdout says that the client wants standard output.",
		"stderr":  "stderr says that the client wants standard error. With tty there is none.",
		"tty":     "tty gives the command a terminal.",
		"command": "command is the program and its arguments, without a shell in between. It is given once for each of them.",
	}
}

// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// SandboxFilesOptions are the parameters of sandboxes/files. Each is for some
// methods and refused by the others.
type SandboxFilesOptions struct {
	metav1.TypeMeta `json:",inline"`

	// path is the absolute path of the file. It is the end of the request's path, and
	// not given in its query.
	// +optional
	Path string `json:"path,omitempty"`
	// mode is the permissions of a file or directory that is made, in octal.
	// +optional
	Mode string `json:"mode,omitempty"`
	// upload names an upload in parts, which it is given with, or that is given up.
	// +optional
	Upload string `json:"upload,omitempty"`
	// directory makes a directory, with those above it.
	// +optional
	Directory bool `json:"directory,omitempty"`
	// recursive deletes a directory with all that is in it.
	// +optional
	Recursive bool `json:"recursive,omitempty"`
	// limit is the most entries that a listing has.
	// +optional
	Limit int64 `json:"limit,omitempty"`
	// continue is where a listing goes on: what the one before gave.
	// +optional
	Continue string `json:"continue,omitempty"`
}

// SwaggerDoc describes the parameters in OpenAPI.
func (SandboxFilesOptions) SwaggerDoc() map[string]string {
	return map[string]string{
		"path":      "path is the absolute path of the file. It is the end of the request's path, and not given in its query.",
		"mode":      "mode is the permissions of a file or directory that is made, in octal.",
		"upload":    "upload names an upload in parts, which it is given with, or that is given up.",
		"directory": "directory makes a directory, with those above it.",
		"recursive": "recursive deletes a directory with all that is in it.",
		"limit":     "limit is the most entries that a listing has.",
		"continue":  "continue is where a listing goes on: what the one before gave.",
	}
}

// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// ExecutionLogOptions are the parameters of executions/log.
type ExecutionLogOptions struct {
	metav1.TypeMeta `json:",inline"`

	// follow stays until the execution has ended.
	// +optional
	Follow bool `json:"follow,omitempty"`
	// after begins behind the event of that number.
	// +optional
	After int64 `json:"after,omitempty"`
	// stream leaves the other of stdout and stderr out.
	// +optional
	Stream string `json:"stream,omitempty"`
}

// SwaggerDoc describes the parameters in OpenAPI.
func (ExecutionLogOptions) SwaggerDoc() map[string]string {
	return map[string]string{
		"follow": "follow stays until the execution has ended.",
		"after":  "after begins behind the event of that number.",
		"stream": "stream leaves the other of stdout and stderr out.",
	}
}
