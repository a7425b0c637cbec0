// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package storage_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"safebeam.dev/safebeam/pkg/journal"
	"safebeam.dev/safebeam/pkg/storage"
)

// mu guards what parallel tests keep about their journals.
var mu sync.Mutex

func encryptionConfig(t *testing.T, resources ...string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "encryption.yaml")
	key := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, 32))
	config := fmt.Sprintf(`apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources:
- resources: ["%s"]
  providers:
  - secretbox: {keys: [{name: k, secret: %s}]}
`, strings.Join(resources, `", "`), key)
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestEncryptionCoversObjectsAndJournalAlike(t *testing.T) {
	const object, words = "a-canary-in-an-object", "a-canary-in-the-journal"
	write := func(t *testing.T, o *storage.Options) {
		f := open(t, o)
		store, _ := openModels(t, f)
		create(t, store, model("a", object))
		err := f.Journal().Append(t.Context(), journal.Record{Owner: "turns/u/events", Number: 1, Data: []byte(words)})
		if err != nil {
			t.Fatal(err)
		}
		closeFactory(t, f)
	}
	t.Run("without a configuration both are in the clear", func(t *testing.T) {
		onBoth(t, func(t *testing.T, b backend, o *storage.Options) {
			write(t, o)
			for _, canary := range []string{object, words} {
				if !bytes.Contains(b.contents(t, o), []byte(canary)) {
					t.Errorf("%s was not found: this test could not fail", canary)
				}
			}
		})
	})
	t.Run("with one neither is", func(t *testing.T) {
		onBoth(t, func(t *testing.T, b backend, o *storage.Options) {
			o.Etcd.EncryptionProviderConfigFilepath = encryptionConfig(t, "*.*")
			write(t, o)
			for _, canary := range []string{object, words} {
				if bytes.Contains(b.contents(t, o), []byte(canary)) {
					t.Errorf("%s is stored in the clear", canary)
				}
			}
			f := open(t, o)
			store, _ := openModels(t, f)
			if got := list(t, store).Items; len(got) != 1 || got[0].Spec.Description != object {
				t.Errorf("models: %v", got)
			}
			got, err := f.Journal().Read(t.Context(), "turns/u/events", 0, 0)
			if err != nil || len(got) != 1 || string(got[0].Data) != words {
				t.Errorf("journal: %v, %v", got, err)
			}
		})
	})
	t.Run("a journal follows its resource", func(t *testing.T) {
		onBoth(t, func(t *testing.T, b backend, o *storage.Options) {
			o.Etcd.EncryptionProviderConfigFilepath = encryptionConfig(t, "turns.tightbeam.dev")
			write(t, o)
			if !bytes.Contains(b.contents(t, o), []byte(object)) {
				t.Error("models are encrypted, turns alone should be")
			}
			if bytes.Contains(b.contents(t, o), []byte(words)) {
				t.Error("turns are encrypted, but not their journals")
			}
		})
	})
}

func TestEncryptedRecordsAreNotHandedOutAsTheyAre(t *testing.T) {
	onBoth(t, func(t *testing.T, _ backend, o *storage.Options) {
		o.Etcd.EncryptionProviderConfigFilepath = encryptionConfig(t, "*.*")
		f := open(t, o)
		if err := f.Journal().Append(t.Context(), journal.Record{Owner: "turns/u", Number: 1, Data: []byte("x")}); err != nil {
			t.Fatal(err)
		}
		closeFactory(t, f)
		o.Etcd.EncryptionProviderConfigFilepath = ""
		f = open(t, o)
		if got, err := f.Journal().Read(t.Context(), "turns/u", 0, 0); err == nil {
			t.Errorf("Read = %v without the key", got)
		}
		for r, err := range f.Journal().Follow(t.Context(), "turns/u", 0) {
			if err == nil {
				t.Errorf("Follow = %q without the key", r.Data)
			}
			break
		}
	})
}

func TestAJournalOfAnUnknownResourceIsRefused(t *testing.T) {
	f := open(t, backends[0].options(t))
	record := journal.Record{Owner: "secrets/u", Number: 1, Data: []byte("x")}
	if err := f.Journal().Append(t.Context(), record); err == nil {
		t.Error("Append succeeded")
	}
	if err := f.Journal().Stage(t.Context(), record).Wait(t.Context()); err == nil {
		t.Error("Stage succeeded")
	}
}

func TestABadEncryptionConfigurationKeepsTheStoreClosed(t *testing.T) {
	o := backends[0].options(t)
	file := filepath.Join(t.TempDir(), "encryption.yaml")
	if err := os.WriteFile(file, []byte("kind: nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	o.Etcd.EncryptionProviderConfigFilepath = file
	_, err := storage.Open(t.Context(), *o, storage.Config{Scheme: scheme})
	if err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("Open = %v; want an error that names %s", err, file)
	}
}

func TestAReloadingConfigurationOpensAndCloses(t *testing.T) {
	o := backends[0].options(t)
	o.Etcd.EncryptionProviderConfigFilepath = encryptionConfig(t, "*.*")
	o.Etcd.EncryptionProviderConfigAutomaticReload = true
	f := open(t, o)
	if err := f.Journal().Append(t.Context(), journal.Record{Owner: "turns/u", Number: 1, Data: []byte("x")}); err != nil {
		t.Fatal(err)
	}
	closeFactory(t, f)
}
