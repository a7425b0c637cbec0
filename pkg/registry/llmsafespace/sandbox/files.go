// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/registry/rest"

	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/pkg/gateway/sandboxes"
	"safebeam.dev/safebeam/pkg/registry/stream"
)

// FilesREST serves sandboxes/files: what is beneath the writable paths of a
// sandbox, by its absolute path.
//
//	GET     a file, or a range of it; a directory as tar, or as JSON
//	HEAD    what GET would say of it
//	PUT     a file, whole or in parts; ?directory=true makes a directory; a tar
//	        archive is unpacked into one
//	DELETE  a file or directory; with ?upload=ID, an upload that is given up
type FilesREST struct {
	connected connected
	streams   *stream.Server
	meter     Meter
}

var (
	_ rest.Connecter       = &FilesREST{}
	_ rest.StorageMetadata = &FilesREST{}
)

const (
	typeTar    = "application/x-tar"
	typeJSON   = "application/json"
	typeBinary = "application/octet-stream"
)

// New is what the subresource belongs to.
func (*FilesREST) New() runtime.Object { return &v1.Sandbox{} }

// Destroy does nothing: the storage is the resource's.
func (*FilesREST) Destroy() {}

// ConnectMethods are those above.
func (*FilesREST) ConnectMethods() []string {
	return []string{http.MethodGet, http.MethodHead, http.MethodPut, http.MethodDelete}
}

// NewConnectOptions says that a path follows: the file's. The options are for
// OpenAPI, and for admission; the handler reads the parameters itself, and refuses
// those that have no effect.
func (*FilesREST) NewConnectOptions() (runtime.Object, bool, string) {
	return &v1.SandboxFilesOptions{}, true, "path"
}

// ProducesMIMETypes is for OpenAPI.
func (*FilesREST) ProducesMIMETypes(string) []string { return []string{typeBinary, typeTar, typeJSON} }

// ProducesObject is for OpenAPI.
func (*FilesREST) ProducesObject(string) any { return "" }

// Connect serves one request.
func (r *FilesREST) Connect(ctx context.Context, name string, _ runtime.Object, responder rest.Responder) (http.Handler, error) {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		began, counted := time.Now(), &countedWriter{ResponseWriter: w, count: r.meter.FileBytes, status: http.StatusOK}
		req.Body = countedReader{req.Body, r.meter.FileBytes}
		err := r.serve(ctx, name, counted, req)
		r.meter.FileServed(req.Method, counted.answered(err), time.Since(began))
		if errors.Is(err, errBrokenOff) {
			// The answer has begun: that it has no end is all that can be said.
			panic(http.ErrAbortHandler)
		} else if err != nil {
			responder.Error(err)
		}
	}), nil
}

// errBrokenOff is the error of an answer that has begun.
var errBrokenOff = errors.New("the answer was broken off")

// transfer is one request.
type transfer struct {
	sandbox string
	path    string
	query   *query
	in      *sandboxes.Sandbox
	w       http.ResponseWriter
	request *http.Request
}

func (r *FilesREST) serve(ctx context.Context, name string, w http.ResponseWriter, req *http.Request) error {
	file, err := filePath(req.URL.Path, name)
	if err != nil {
		return err
	}
	ctx, leave, err := r.streams.Enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	to, release, err := r.connected.acquire(ctx, name)
	if err != nil {
		return err
	}
	defer release()
	t := &transfer{sandbox: name, path: file, query: newQuery(req.URL.Query()), in: to, w: w, request: req}
	switch req.Method {
	case http.MethodGet, http.MethodHead:
		err = t.get(ctx)
	case http.MethodPut:
		err = t.put(ctx)
	case http.MethodDelete:
		err = t.delete(ctx)
	}
	if err == nil || errors.Is(err, errBrokenOff) {
		return err
	}
	return fileStatus(name, file, err)
}

// filePath takes the file's path from that of the request. What is no plain
// path is refused, not made one.
func filePath(requestPath, sandbox string) (string, error) {
	_, file, found := strings.Cut(requestPath, "/sandboxes/"+sandbox+"/files/")
	if !found || file == "" {
		return "", apierrors.NewBadRequest("the path of the file is missing: the request's path ends in …/files/ABSOLUTE/PATH")
	}
	file = "/" + strings.TrimPrefix(strings.TrimSuffix(file, "/"), "/")
	if strings.ContainsRune(file, 0) || path.Clean(file) != file {
		return "", apierrors.NewBadRequest(fmt.Sprintf("%q is no path of a file: it must not contain '.', '..', slashes that are not needed, or NUL", file))
	}
	return file, nil
}

// query reads parameters, and knows which ones there were.
type query struct {
	values url.Values
	err    error
}

func newQuery(values url.Values) *query { return &query{values: values} }

// take removes a parameter.
func (q *query) take(name string) (value string, given bool) {
	values, given := q.values[name]
	if len(values) > 1 && q.err == nil {
		q.err = apierrors.NewBadRequest(fmt.Sprintf("%s is given %d times", name, len(values)))
	}
	delete(q.values, name)
	if given {
		value = values[0]
	}
	return value, given
}

// flag takes a parameter that is true or false.
func (q *query) flag(name string) bool {
	value, given := q.take(name)
	switch {
	case !given || value == "false":
		return false
	case value == "true":
		return true
	}
	if q.err == nil {
		q.err = apierrors.NewBadRequest(fmt.Sprintf("%s=%q is neither true nor false", name, value))
	}
	return false
}

// done reports what was wrong, and what nobody took: it would have no effect.
func (q *query) done() error {
	if q.err != nil {
		return q.err
	}
	for name := range q.values {
		return apierrors.NewBadRequest(fmt.Sprintf("the parameter %q has no effect on this request: leave it out", name))
	}
	return nil
}
