// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package generic

import (
	"bytes"
	"io"
	"net/http"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// RefuseBody refuses what would be ignored. An empty object is nothing: some
// clients cannot send less.
func RefuseBody(request *http.Request, why string) error {
	const enough = 16
	body, err := io.ReadAll(io.LimitReader(request.Body, enough))
	if err != nil {
		return apierrors.NewBadRequest("reading the body: " + err.Error())
	}
	switch string(bytes.TrimSpace(body)) {
	case "", "{}", "null":
		return nil
	}
	return apierrors.NewBadRequest(why)
}
