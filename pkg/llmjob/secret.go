// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package llmjob

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"safebeam.dev/safebeam/pkg/provider"
)

// Secret is what a Secret's directory says.
type Secret struct {
	Provider  string
	Model     string
	Key       *provider.Key
	MaxTokens int64 // 0: not set
}

// SecretError names the key of a Secret that is missing or wrong. It never
// shows a value.
type SecretError struct {
	Dir     string
	Key     string
	Problem string
}

func (e *SecretError) Error() string {
	return fmt.Sprintf("key %q of the Secret in %s %s", e.Key, e.Dir, e.Problem)
}

// maxSecretValue bounds a value: a Secret as a whole holds 1 MiB.
const maxSecretValue = 1 << 20

// ReadSecret reads the directory that the kubelet, or the local launcher, made
// of a Secret: one file a key, white space around the values dropped.
func ReadSecret(dir string) (*Secret, error) {
	s := &Secret{}
	var apiKey string
	for _, f := range []struct {
		key  string
		into *string
	}{{KeyProvider, &s.Provider}, {KeyModel, &s.Model}, {KeyAPIKey, &apiKey}} {
		v, err := secretValue(dir, f.key)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil, &SecretError{Dir: dir, Key: f.key, Problem: "is missing"}
		case err != nil:
			return nil, err
		case v == "":
			return nil, &SecretError{Dir: dir, Key: f.key, Problem: "is empty"}
		}
		*f.into = v
	}
	if strings.ContainsFunc(apiKey, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return nil, &SecretError{Dir: dir, Key: KeyAPIKey, Problem: "holds white space or control characters within"}
	}
	s.Key = provider.NewKey(apiKey)
	v, err := secretValue(dir, KeyMaxTokens)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return s, nil
	case err != nil:
		return nil, err
	}
	n, err := strconv.ParseInt(v, 10, 32)
	if err != nil || n < 1 {
		return nil, &SecretError{Dir: dir, Key: KeyMaxTokens, Problem: "is not a positive number"}
	}
	s.MaxTokens = n
	return s, nil
}

func secretValue(dir, key string) (string, error) {
	f, err := os.Open(filepath.Join(dir, key))
	if errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	if err != nil {
		return "", &SecretError{Dir: dir, Key: key, Problem: "cannot be read: " + errors.Unwrap(err).Error()}
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxSecretValue+1))
	if err != nil {
		return "", &SecretError{Dir: dir, Key: key, Problem: "cannot be read"}
	}
	if len(b) > maxSecretValue {
		return "", &SecretError{Dir: dir, Key: key, Problem: "is above 1 MiB"}
	}
	return strings.TrimSpace(string(b)), nil
}

// secretDir follows a Secret that is changed while the job runs: a job that is
// kept warm would else use a withdrawn key for ever.
type secretDir struct {
	dir string

	mu      sync.Mutex
	stamp   string
	current *Secret
}

func openSecretDir(dir string) (*secretDir, error) {
	d := &secretDir{dir: dir, stamp: stamp(dir)}
	s, err := ReadSecret(dir)
	if err != nil {
		return nil, err
	}
	d.current = s
	return d, nil
}

// get returns the Secret as it is now. changed tells that it is not the one of
// the call before. With an error there is still the Secret that was last good.
func (d *secretDir) get() (s *Secret, changed bool, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := stamp(d.dir)
	if now == d.stamp {
		return d.current, false, nil
	}
	fresh, err := ReadSecret(d.dir)
	if err != nil {
		return d.current, false, err
	}
	d.stamp, d.current = now, fresh
	return fresh, true, nil
}

// stamp changes when a file of the Secret does. The kubelet swaps a symbolic
// link, which Stat follows.
func stamp(dir string) string {
	var sb strings.Builder
	for _, key := range []string{KeyProvider, KeyModel, KeyAPIKey, KeyMaxTokens} {
		if fi, err := os.Stat(filepath.Join(dir, key)); err == nil {
			fmt.Fprintf(&sb, "%d.%d;", fi.ModTime().UnixNano(), fi.Size())
		} else {
			sb.WriteString("-;")
		}
	}
	return sb.String()
}
