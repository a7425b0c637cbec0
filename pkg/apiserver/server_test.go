// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package apiserver_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	etcd3testing "k8s.io/apiserver/pkg/storage/etcd3/testing"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/util/cert"
	"k8s.io/client-go/util/keyutil"

	"safebeam.dev/safebeam/pkg/apiserver/identity"
	"safebeam.dev/safebeam/pkg/apiserver/options"
	"safebeam.dev/safebeam/pkg/apiserver/servertest"
	"safebeam.dev/safebeam/pkg/storage"
	"safebeam.dev/safebeam/pkg/storage/bbolt"
)

func TestDiscoveryTellsWhatThereIs(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, servertest.Settings{})
	client := discovery.NewDiscoveryClientForConfigOrDie(s.Client)
	resources, err := client.ServerResourcesForGroupVersion("tightbeam.dev/v1")
	if err != nil {
		t.Fatal(err)
	}
	full := "create,delete,deletecollection,get,list,patch,update,watch"
	want := map[string]string{
		"tightbeammodels": full + " tbm", "tightbeamchannels": full + " tbc", "conversations": full + " conv", "turns": full + " ",
		"tightbeammodels/status": "get,patch,update ", "tightbeamchannels/status": "get,patch,update ", "conversations/status": "get,patch,update ", "turns/status": "get,patch,update ",
		"conversations/log": "get ", "turns/log": "get ", "turns/stream": "get ", "turns/cancel": "create ",
	}
	for _, resource := range resources.APIResources {
		verbs := []string(resource.Verbs)
		slices.Sort(verbs)
		got := strings.Join(verbs, ",") + " " + strings.Join(resource.ShortNames, ",")
		if got != want[resource.Name] {
			t.Errorf("%s: %q, want %q", resource.Name, got, want[resource.Name])
		}
		if !strings.Contains(resource.Name, "/") && (!slices.Contains(resource.Categories, "safebeam") || resource.SingularName == "" || resource.StorageVersionHash == "") {
			t.Errorf("%s: categories %v, singular %q, storage version %q", resource.Name, resource.Categories, resource.SingularName, resource.StorageVersionHash)
		}
		delete(want, resource.Name)
	}
	for name := range want {
		t.Errorf("%s is not served", name)
	}
	version, err := client.ServerVersion()
	if err != nil || !strings.HasPrefix(version.GitVersion, "v1.37.") {
		t.Errorf("version %+v, %v", version, err)
	}
}

func TestOpenAPIExplainsEveryField(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, servertest.Settings{})
	var spec struct {
		Paths      map[string]any
		Components struct {
			Schemas map[string]struct {
				Description string
				Properties  map[string]struct {
					Description string
				}
				GroupVersionKinds []metav1.GroupVersionKind `json:"x-kubernetes-group-version-kind"`
			}
		}
	}
	if err := json.NewDecoder(open(t, s, "/openapi/v3/apis/tightbeam.dev/v1").Body).Decode(&spec); err != nil {
		t.Fatal(err)
	}
	kinds := map[string]bool{}
	for name, schema := range spec.Components.Schemas {
		if !strings.HasPrefix(name, "dev.tightbeam.") {
			continue
		}
		for _, kind := range schema.GroupVersionKinds {
			kinds[kind.Kind] = true
		}
		for field, property := range schema.Properties {
			if property.Description == "" && field != "items" && field != "metadata" {
				t.Errorf("%s.%s is not explained", name, field)
			}
		}
	}
	for _, kind := range []string{"TightbeamModel", "TightbeamChannel", "Conversation", "Turn"} {
		if !kinds[kind] {
			t.Errorf("OpenAPI v3 has no %s, and kubectl explain needs it", kind)
		}
	}
	for _, path := range []string{"turns/{name}/log", "turns/{name}/stream", "turns/{name}/cancel", "conversations/{name}/log"} {
		if spec.Paths["/apis/tightbeam.dev/v1/namespaces/{namespace}/"+path] == nil {
			t.Errorf("OpenAPI v3 has no path %s", path)
		}
	}
	if response := open(t, s, "/openapi/v2"); response.StatusCode != http.StatusOK {
		t.Errorf("OpenAPI v2: %s", response.Status)
	}
}

func TestHealthAndMetrics(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, servertest.Settings{})
	ready := read(t, open(t, s, "/readyz?verbose"))
	for _, check := range []string{"[+]store ok", "[+]turns ok", "[+]poststarthook/storage-readiness ok"} {
		if !strings.Contains(ready, check) {
			t.Errorf("readyz has no %q:\n%s", check, ready)
		}
	}
	for _, path := range []string{"/healthz", "/livez", "/metrics"} {
		if response := open(t, s, path); response.StatusCode != http.StatusOK {
			t.Errorf("%s: %s", path, response.Status)
		}
	}
	if metrics := read(t, open(t, s, "/metrics")); !strings.Contains(metrics, "apiserver_request_duration_seconds") {
		t.Error("no metrics of requests")
	}
}

func TestNobodyIsAnonymous(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, servertest.Settings{})
	s.Client.BearerToken = ""
	for _, token := range []string{"", "Bearer guessed"} {
		for _, path := range []string{"/readyz", "/apis", group + "turns", "/snapshot"} {
			if response := open(t, s, path, "Authorization", token); response.StatusCode != http.StatusUnauthorized {
				t.Errorf("%s with token %q: %s, want 401", path, token, response.Status)
			}
		}
	}
}

func TestAClientCertificateSaysWhoSomebodyIs(t *testing.T) {
	t.Parallel()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ca, err := cert.NewSelfSignedCACert(cert.Config{CommonName: "people"}, key)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	s, _ := start(t, servertest.Settings{Options: func(o *options.Options) { o.Standalone.ClientCAFile = file }})
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "ann", Organization: []string{identity.GroupView}},
		NotBefore: ca.NotBefore, NotAfter: ca.NotAfter, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, ca, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyPEM, err := keyutil.MarshalPrivateKeyToPEM(key)
	if err != nil {
		t.Fatal(err)
	}
	s.Client.BearerToken = ""
	s.Client.CertData, s.Client.KeyData = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), keyPEM
	api := s.Clients().TightbeamV1()
	if _, err := api.Conversations(namespace).Get(t.Context(), "c", metav1.GetOptions{}); err != nil {
		t.Errorf("a viewer reads: %v", err)
	}
	if _, err := api.Conversations(namespace).Create(t.Context(), conversation("d"), metav1.CreateOptions{}); !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "ann") {
		t.Errorf("a viewer writes: %v, want a 403 for ann", err)
	}
}

func TestEverythingIsThereAfterARestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, api := start(t, servertest.Settings{DataDir: dir})
	before, err := api.Turns(namespace).Create(t.Context(), turn("t", "c", "hi"), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	authority := string(s.Client.CAData)
	s.Stop()

	s = servertest.Start(t, servertest.Settings{DataDir: dir})
	if string(s.Client.CAData) != authority {
		t.Error("the authority is another one after a restart")
	}
	after, err := s.Clients().TightbeamV1().Turns(namespace).Get(t.Context(), "t", metav1.GetOptions{})
	if err != nil || after.UID != before.UID || after.ResourceVersion != before.ResourceVersion {
		t.Errorf("got %q at %q, %v; want %q at %q", after.UID, after.ResourceVersion, err, before.UID, before.ResourceVersion)
	}
	// The turn is taken up.
	pull(t, s).finish("ho")
	if log := read(t, open(t, s, group+"turns/t/log?follow=true")); !strings.Contains(log, `"Completed"`) {
		t.Error(log)
	}
}

func TestASnapshotIsWholeAndRestores(t *testing.T) {
	t.Parallel()
	s, _ := start(t, servertest.Settings{})
	response := open(t, s, "/snapshot")
	file := filepath.Join(t.TempDir(), "snapshot")
	if err := os.WriteFile(file, []byte(read(t, response)), 0o600); err != nil {
		t.Fatal(err)
	}
	if response := send(t, s, http.MethodPost, "/snapshot", ""); response.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST: %s, want 405", response.Status)
	}
	dir := t.TempDir()
	if _, err := bbolt.Restore(t.Context(), file, storage.BBoltDir(dir), 0); err != nil {
		t.Fatal(err)
	}
	restored := servertest.Start(t, servertest.Settings{DataDir: dir})
	if _, err := restored.Clients().TightbeamV1().Conversations(namespace).Get(t.Context(), "c", metav1.GetOptions{}); err != nil {
		t.Error(err)
	}
}

func TestTheSameOnEtcd(t *testing.T) {
	_, config := etcd3testing.NewUnsecuredEtcd3TestClientServer(t)
	s, api := start(t, servertest.Settings{Options: func(o *options.Options) {
		o.Storage.Backend = storage.BackendETCD3
		o.Storage.Etcd.StorageConfig.Transport = config.Transport
	}})
	if _, err := api.Turns(namespace).Create(t.Context(), turn("t", "c", "hi"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	reader := follow(t, s, group+"turns/t/stream")
	job := pull(t, s)
	job.say("ho")
	job.finish("ho")
	var types []string
	for event := reader.next(); event != nil; event = reader.next() {
		types = append(types, string(event.Type))
	}
	if got := strings.Join(types, " "); got != "Started BlockDelta Completed" {
		t.Error(got)
	}
	if log := read(t, open(t, s, group+"conversations/c/log?follow=true&limit=2")); strings.Count(log, "\n") != 2 {
		t.Error(log)
	}
	if response := open(t, s, "/snapshot"); response.StatusCode != http.StatusBadRequest {
		t.Errorf("a snapshot of etcd: %s, want 400", response.Status)
	}
}
