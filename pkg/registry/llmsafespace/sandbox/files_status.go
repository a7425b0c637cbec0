// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"errors"
	"net/http"

	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
)

// fileStatus makes an error of a call on a file one of the API. The messages
// are sandboxd's, which bounds them, and speak of the path.
func fileStatus(sandbox, file string, err error) error {
	s, ok := grpcstatus.FromError(err)
	if !ok {
		return statusOf(sandbox, err)
	}
	message := s.Message()
	switch s.Code() {
	case codes.NotFound:
		return about(file, statusError(http.StatusNotFound, metav1.StatusReasonNotFound, message))
	case codes.PermissionDenied:
		return about(file, statusError(http.StatusForbidden, metav1.StatusReasonForbidden, message))
	case codes.AlreadyExists:
		return about(file, statusError(http.StatusConflict, metav1.StatusReasonAlreadyExists, message))
	case codes.FailedPrecondition, codes.Aborted:
		return about(file, statusError(http.StatusConflict, metav1.StatusReasonConflict, message))
	case codes.OutOfRange:
		return about(file, statusError(http.StatusRequestedRangeNotSatisfiable, metav1.StatusReasonInvalid, message))
	case codes.ResourceExhausted:
		return about(file, statusError(http.StatusInsufficientStorage, metav1.StatusReasonInvalid, message))
	}
	return statusOf(sandbox, err)
}

// about names the file that an error is about.
func about(file string, err error) error {
	var status *apierrors.StatusError
	if errors.As(err, &status) {
		status.ErrStatus.Details = &metav1.StatusDetails{Group: v1.GroupName, Kind: "sandboxes/files", Name: file}
	}
	return err
}

func statusError(code int32, reason metav1.StatusReason, message string) error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{Status: metav1.StatusFailure, Code: code, Reason: reason, Message: message}}
}
