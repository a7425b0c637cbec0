// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package remotecommand

import (
	"encoding/json"
	"fmt"
	"strconv"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	protocol "k8s.io/apimachinery/pkg/util/remotecommand"
)

// Success is the end of a command with exit code 0.
func Success() metav1.Status { return metav1.Status{Status: metav1.StatusSuccess} }

// NonZero is the end of a command with another exit code. The message may be
// empty.
func NonZero(code int, message string) metav1.Status {
	text := fmt.Sprintf("command terminated with non-zero exit code: %d", code)
	if message != "" {
		text += ": " + message
	}
	return metav1.Status{
		Status:  metav1.StatusFailure,
		Reason:  protocol.NonZeroExitCodeReason,
		Message: text,
		Details: &metav1.StatusDetails{Causes: []metav1.StatusCause{{
			Type: protocol.ExitCodeCauseType, Message: strconv.Itoa(code),
		}}},
	}
}

func encode(status metav1.Status) []byte {
	data, err := json.Marshal(status)
	if err != nil { // a Status has nothing that cannot be encoded
		panic(err)
	}
	return data
}
