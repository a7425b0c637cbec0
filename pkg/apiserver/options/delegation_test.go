// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package options_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"

	"safebeam.dev/safebeam/pkg/apiserver/options"
)

// authority signs client certificates.
type authority struct {
	t           *testing.T
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	file        string
}

func newAuthority(t *testing.T, name string) authority {
	t.Helper()
	a := authority{t: t, file: filepath.Join(t.TempDir(), name)}
	var err error
	if a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, a.key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.certificate, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(a.file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return a
}

// client is the certificate of somebody of that name.
func (a authority) client(name string, organizations ...string) *tls.Certificate {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name, Organization: organizations},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, a.certificate, key.Public(), a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// cluster is the kubeconfig of a kube-apiserver that knows one token and allows
// nothing.
func cluster(t *testing.T) (kubeconfig string) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch r.URL.Path {
		case "/apis/authentication.k8s.io/v1/tokenreviews":
			var review authenticationv1.TokenReview
			_ = json.NewDecoder(r.Body).Decode(&review)
			if review.Spec.Token == "tess" {
				review.Status = authenticationv1.TokenReviewStatus{Authenticated: true, User: authenticationv1.UserInfo{Username: "tess"}}
			}
			_ = json.NewEncoder(w).Encode(&review)
		case "/apis/authorization.k8s.io/v1/subjectaccessreviews":
			var review authorizationv1.SubjectAccessReview
			_ = json.NewDecoder(r.Body).Decode(&review)
			_ = json.NewEncoder(w).Encode(&review)
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(server.Close)
	kubeconfig = filepath.Join(t.TempDir(), "kubeconfig")
	text := `{"apiVersion":"v1","kind":"Config","current-context":"c","contexts":[{"name":"c","context":{"cluster":"c"}}],"clusters":[{"name":"c","cluster":{"server":"` + server.URL + `"}}]}`
	if err := os.WriteFile(kubeconfig, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return kubeconfig
}

// behind starts a server as it is behind a kube-apiserver, whose front proxy and
// clients have certificates of those authorities, and returns its address.
func behind(t *testing.T, proxies, clients authority) (url string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o := options.NewOptions()
	o.Storage.BBolt.DataDir = t.TempDir()
	r := o.Recommended
	r.SecureServing.BindAddress, r.SecureServing.Listener = net.IPv4(127, 0, 0, 1), listener
	r.CoreAPI, r.Admission, r.EgressSelector = nil, nil, nil // they watch the cluster
	r.Features.EnablePriorityAndFairness = false
	kubeconfig := cluster(t)
	r.Authentication.RemoteKubeConfigFile, r.Authorization.RemoteKubeConfigFile = kubeconfig, kubeconfig
	// What kube-system/extension-apiserver-authentication says on a cluster.
	r.Authentication.SkipInClusterLookup = true
	r.Authentication.ClientCert.ClientCA = clients.file
	r.Authentication.RequestHeader.ClientCAFile = proxies.file
	r.Authentication.RequestHeader.AllowedNames = []string{"front-proxy-client"}
	if err := o.Complete(); err != nil {
		t.Fatal(err)
	}
	if err := o.Validate(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	opened, err := o.Config(ctx)
	if err != nil {
		t.Fatal(err)
	}
	server, err := opened.Complete().New()
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("serving: %v", err)
		}
		if err := opened.Close(); err != nil {
			t.Error(err)
		}
	})
	url = "https://" + listener.Addr().String()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		if status, _ := ask(t, url+"/readyz", nil); status == http.StatusOK {
			return url
		}
		if time.Now().After(deadline) {
			t.Fatal("the server does not become ready")
		}
	}
}

// ask makes a request with a certificate, or none, and headers in pairs.
func ask(t *testing.T, url string, certificate *tls.Certificate, headers ...string) (status int, body string) {
	t.Helper()
	config := &tls.Config{InsecureSkipVerify: true} // it is the server that has to know us
	if certificate != nil {
		config.Certificates = []tls.Certificate{*certificate}
	}
	transport := &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		request.Header.Add(headers[i], headers[i+1])
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return 0, err.Error()
	}
	defer response.Body.Close()
	read, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(read)
}

// The cluster allows nothing, so that a refusal says whom the server takes
// somebody for.
func TestWhoSomebodyIsTheClusterSaysAndNobodyElse(t *testing.T) {
	t.Parallel()
	proxies, clients, strangers := newAuthority(t, "proxies"), newAuthority(t, "clients"), newAuthority(t, "strangers")
	url := behind(t, proxies, clients)
	pretend := []string{"X-Remote-User", "eve", "X-Remote-Group", "system:masters", "X-Remote-Extra-Scopes", "all"}
	for name, c := range map[string]struct {
		certificate *tls.Certificate
		headers     []string
		want        string // the user; "" if nobody
	}{
		"the front proxy, for alice":             {proxies.client("front-proxy-client"), []string{"X-Remote-User", "alice"}, "alice"},
		"nobody":                                 {nil, nil, "system:anonymous"},
		"headers alone":                          {nil, pretend, "system:anonymous"},
		"another proxy of that authority":        {proxies.client("kubelet"), pretend, ""},
		"a stranger by the proxy's name":         {strangers.client("front-proxy-client"), pretend, ""},
		"a client":                               {clients.client("bob"), nil, "bob"},
		"a client by the proxy's name":           {clients.client("front-proxy-client"), pretend, "front-proxy-client"},
		"a client with headers":                  {clients.client("bob"), pretend, "bob"},
		"a certificate of a proxy as a client's": {proxies.client("bob", "system:masters"), nil, ""},
		"a token":                                {nil, []string{"Authorization", "Bearer tess"}, "tess"},
		"a token with headers":                   {nil, append([]string{"Authorization", "Bearer tess"}, pretend...), "tess"},
		"a made-up token":                        {nil, []string{"Authorization", "Bearer eve"}, ""},
		"the front proxy that says nothing":      {proxies.client("front-proxy-client"), nil, ""},
	} {
		status, body := ask(t, url+"/apis/tightbeam.dev/v1/namespaces/default/turns", c.certificate, c.headers...)
		if c.want == "" {
			if status != http.StatusUnauthorized && !(status == http.StatusForbidden && strings.Contains(body, `User \"system:anonymous\"`)) {
				t.Errorf("%s: %d %s", name, status, body)
			}
			continue
		}
		if status != http.StatusForbidden || !strings.Contains(body, `User \"`+c.want+`\" cannot list`) {
			t.Errorf("%s: %d %s, want %s to be refused", name, status, body, c.want)
		}
	}
	// Who may act as others is for the cluster to say.
	for name, certificate := range map[string]*tls.Certificate{"a client": clients.client("bob"), "the front proxy, for alice": proxies.client("front-proxy-client")} {
		headers := []string{"Impersonate-User", "eve", "Impersonate-Group", "system:masters"}
		if name != "a client" {
			headers = append(headers, "X-Remote-User", "alice")
		}
		status, body := ask(t, url+"/apis/tightbeam.dev/v1/namespaces/default/turns", certificate, headers...)
		if status != http.StatusForbidden || !strings.Contains(body, "impersonate") {
			t.Errorf("%s that acts as somebody: %d %s", name, status, body)
		}
	}
}

func TestAStrangerSeesHealthAndNothingElse(t *testing.T) {
	t.Parallel()
	url := behind(t, newAuthority(t, "proxies"), newAuthority(t, "clients"))
	for path, want := range map[string]int{
		"/healthz": http.StatusOK, "/livez": http.StatusOK, "/readyz": http.StatusOK,
		"/metrics": http.StatusForbidden, "/snapshot": http.StatusForbidden, "/debug/pprof/": http.StatusForbidden,
		"/debug/pprof/heap": http.StatusForbidden, "/debug/flags/v": http.StatusForbidden, "/configz": http.StatusForbidden, "/statusz": http.StatusForbidden,
		"/apis": http.StatusForbidden, "/openapi/v3": http.StatusForbidden, "/version": http.StatusForbidden, "/": http.StatusForbidden,
		"/apis/tightbeam.dev/v1/turns":                                              http.StatusForbidden,
		"/apis/tightbeam.dev/v1/namespaces/default/turns/t/log":                     http.StatusForbidden,
		"/apis/tightbeam.dev/v1/namespaces/default/tightbeammodels/m/pods":          http.StatusForbidden,
		"/apis/llmsafespace.dev/v1/namespaces/default/sandboxes/s/exec?command=id":  http.StatusForbidden,
		"/apis/llmsafespace.dev/v1/namespaces/default/sandboxes/s/files/etc/passwd": http.StatusForbidden,
		"/readyz/../snapshot":                     http.StatusForbidden,
		"/healthz/../apis/tightbeam.dev/v1/turns": http.StatusForbidden,
	} {
		if status, body := ask(t, url+path, nil); status != want {
			t.Errorf("%s: %d %.200s, want %d", path, status, body, want)
		}
	}
}
