// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/rest"
)

// What the tests know of hack/cluster, where local is set.

// stateFile is a file of its state.
func stateFile(path string) string {
	return filepath.Join(filepath.Dir(filepath.Dir(kubeconfig)), path)
}

// daemon is the process of a program of hack/cluster.
func daemon(t *testing.T, name string) int {
	t.Helper()
	record, err := os.ReadFile(stateFile("run/" + name + ".pid"))
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.Fields(string(record))[0])
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// controllerManagerMetrics are those of kube-controller-manager, which listens
// on loopback, with a certificate that nobody signed.
func controllerManagerMetrics(t *testing.T) string {
	t.Helper()
	files, err := rest.TLSConfigFor(config)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{Certificates: files.Certificates, GetClientCertificate: files.GetClientCertificate, InsecureSkipVerify: true},
	}}
	defer client.CloseIdleConnections()
	var body []byte
	eventually(t, 10*time.Second, func(ctx context.Context) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://127.0.0.1:10257/metrics", nil)
		if err != nil {
			return err
		}
		response, err := client.Do(request)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		if body, err = io.ReadAll(response.Body); err == nil && response.StatusCode != http.StatusOK {
			err = fmt.Errorf("%s: %s", response.Status, body)
		}
		return err
	})
	return string(body)
}
