// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package local

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"

	"safebeam.dev/safebeam/pkg/launcher"
)

// settle is how long a directory of a Secret must be quiet before its models
// are looked at: its files are seldom written in one step.
const settle = 200 * time.Millisecond

// secretDir is where the Secret's files are. A Secret's name is a DNS
// subdomain, so it holds no slash and does not begin with a dot: it cannot
// lead out of the directory.
func secretDir(root, name string) (string, error) {
	if problems := validation.IsDNS1123Subdomain(name); len(problems) > 0 {
		return "", &launcher.Refusal{
			Reason:  launcher.ReasonSecretNotFound,
			Message: fmt.Sprintf("spec.secretName %q: %s", name, strings.Join(problems, "; ")),
		}
	}
	return filepath.Join(root, name), nil
}

// secretRevision names the version of a Secret's directory by what is known of
// its files without opening them: names, sizes and times.
func secretRevision(root, name string) (string, error) {
	if name == "" {
		return "", nil // a model without a Secret
	}
	dir, err := secretDir(root, name)
	if err != nil {
		return "", err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		refusal := &launcher.Refusal{Reason: launcher.ReasonSecretNotFound, Message: fmt.Sprintf("Secret %q: %v", name, err)}
		if errors.Is(err, fs.ErrNotExist) {
			refusal.Message = fmt.Sprintf("Secret %q not found: make the directory %s with the files provider, model and api-key", name, dir)
		}
		return "", refusal
	}
	hash := sha256.New()
	for _, entry := range entries {
		info, err := os.Stat(filepath.Join(dir, entry.Name())) // through symlinks
		if err != nil {
			// Being written or removed at this moment, or a dangling link: the
			// next change of the directory will tell.
			fmt.Fprintf(hash, "%s -\n", entry.Name())
			continue
		}
		fmt.Fprintf(hash, "%s %d %d\n", entry.Name(), info.Size(), info.ModTime().UnixNano())
	}
	return hex.EncodeToString(hash.Sum(nil)[:8]), nil
}

// secretWatch tells when the Secret of a model changes.
type secretWatch struct {
	root    string
	changed func(cache.ObjectName)
	// watcher is nil where the kernel has none left for us: then a failing job
	// heals when it is launched again, and a running one is not replaced.
	watcher *fsnotify.Watcher

	mu sync.Mutex
	// users is the Secret of each model that was ever asked about.
	users map[cache.ObjectName]string
}

func newSecretWatch(ctx context.Context, root string, changed func(cache.ObjectName)) *secretWatch {
	w := &secretWatch{root: root, changed: changed, users: map[cache.ObjectName]string{}}
	watcher, err := fsnotify.NewWatcher()
	if err == nil {
		if err = watcher.Add(root); err == nil {
			w.watcher = watcher
			return w
		}
		err = errors.Join(err, watcher.Close())
	}
	klog.FromContext(ctx).Error(err, "Changes of secrets will not be seen at once", "dir", root)
	return w
}

func (w *secretWatch) revision(model cache.ObjectName, secret string) (string, error) {
	w.mu.Lock()
	if secret == "" {
		delete(w.users, model)
	} else {
		w.users[model] = secret
	}
	w.mu.Unlock()
	if w.watcher != nil && secret != "" {
		// Before it is read, so that no change falls in between. Repeating it
		// is free; a directory that does not exist yet is seen to appear in
		// the root.
		if dir, err := secretDir(w.root, secret); err == nil {
			_ = w.watcher.Add(dir)
		}
	}
	return secretRevision(w.root, secret)
}

func (w *secretWatch) run(ctx context.Context) {
	if w.watcher == nil {
		<-ctx.Done()
		return
	}
	defer w.watcher.Close()
	dirty := map[string]bool{}
	quiet := time.NewTimer(settle)
	quiet.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case event := <-w.watcher.Events:
			secret, _, _ := strings.Cut(strings.TrimPrefix(event.Name, w.root+string(filepath.Separator)), string(filepath.Separator))
			dirty[secret] = true
			quiet.Reset(settle)
		case err := <-w.watcher.Errors:
			// An overflow: something was missed, it may be anything.
			klog.FromContext(ctx).Error(err, "Looking at all secrets")
			w.mu.Lock()
			for _, secret := range w.users {
				dirty[secret] = true
			}
			w.mu.Unlock()
			quiet.Reset(settle)
		case <-quiet.C:
			for _, model := range w.usersOf(dirty) {
				w.changed(model)
			}
			clear(dirty)
		}
	}
}

func (w *secretWatch) usersOf(secrets map[string]bool) []cache.ObjectName {
	w.mu.Lock()
	defer w.mu.Unlock()
	var models []cache.ObjectName
	for model, secret := range w.users {
		if secrets[secret] {
			models = append(models, model)
		}
	}
	return models
}
