// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package podrecord

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apiserver/pkg/endpoints/request"
)

const pod = "0f8fad5b-d9cb-469f-a165-70867728950e"

// told are records that note what they are told.
type told struct{ words []string }

func (r *told) List(_ context.Context, namespace, name string) (any, error) {
	r.words = append(r.words, fmt.Sprintf("list %s/%s", namespace, name))
	return map[string]string{"of": name}, nil
}

func (r *told) Bind(_ context.Context, namespace, name string, pod types.UID, body []byte) error {
	r.words = append(r.words, fmt.Sprintf("bind %s/%s %s: %d bytes", namespace, name, pod, len(body)))
	return nil
}

func (r *told) Drop(_ context.Context, namespace, name string, pod types.UID) error {
	r.words = append(r.words, fmt.Sprintf("drop %s/%s %s", namespace, name, pod))
	return nil
}

type responder struct{ answer error }

func (r *responder) Object(int, runtime.Object) {}
func (r *responder) Error(err error)            { r.answer = err }

func TestARequestIsOfTheObjectAndThePodInItsPath(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		method, path, body string
		told               string
		refused            bool
	}{
		"a list":                 {method: http.MethodGet, path: "m/pods", told: "list ns/m"},
		"a record":               {method: http.MethodPut, path: "m/pods/" + pod, body: "{}", told: "bind ns/m " + pod + ": 2 bytes"},
		"far more than it takes": {method: http.MethodPut, path: "m/pods/" + pod, body: strings.Repeat("x", 5000), told: "bind ns/m " + pod + ": 4096 bytes"},
		"a pod that went":        {method: http.MethodDelete, path: "m/pods/" + pod, told: "drop ns/m " + pod},
		"an object named pods":   {method: http.MethodDelete, path: "pods/pods/" + pod, told: "drop ns/pods " + pod},
		"no pod":                 {method: http.MethodDelete, path: "m/pods", refused: true},
		"no UID":                 {method: http.MethodPut, path: "m/pods/pod-1", refused: true},
		"a UID in other letters": {method: http.MethodPut, path: "m/pods/" + strings.ToUpper(pod), refused: true},
		"a path":                 {method: http.MethodPut, path: "m/pods/" + pod + "/x", refused: true},
	} {
		records := &told{}
		answered := &responder{}
		req := httptest.NewRequestWithContext(t.Context(), c.method, "/apis/tightbeam.dev/v1/namespaces/ns/tightbeammodels/"+c.path, strings.NewReader(c.body))
		factory := request.RequestInfoFactory{APIPrefixes: sets.NewString("apis"), GrouplessAPIPrefixes: sets.NewString()}
		info, err := factory.NewRequestInfo(req)
		if err != nil {
			t.Fatal(err)
		}
		handler, err := NewREST(func() runtime.Object { return &metav1.Status{} }, records).Connect(request.WithRequestInfo(t.Context(), info), info.Name, nil, answered)
		if err != nil {
			t.Fatal(err)
		}
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, req)
		if said := strings.Join(records.words, "; "); said != c.told || apierrors.IsBadRequest(answered.answer) != c.refused {
			t.Errorf("%s: told %q, answered %v", name, said, answered.answer)
		}
		if c.method == http.MethodGet && (!json.Valid(w.Body.Bytes()) || w.Header().Get("Content-Type") != "application/json") {
			t.Errorf("%s: %q, %s", name, w.Header(), w.Body)
		}
	}
}

func TestWithoutItsInfoARequestIsOfNobody(t *testing.T) {
	t.Parallel()
	_, err := NewREST(nil, &told{}).Connect(t.Context(), "m", nil, &responder{})
	if !apierrors.IsInternalError(err) || errors.Unwrap(err) != nil {
		t.Error(err)
	}
}
