// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package validation

import (
	"slices"
	"testing"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"safebeam.dev/safebeam/apis/internal/check/checktest"
	v1 "safebeam.dev/safebeam/apis/tightbeam/v1"
)

func TestValidationSurvivesAnything(t *testing.T) {
	t.Parallel()
	checktest.Survives(t, func(o, old *v1.TightbeamModel) field.ErrorList {
		return slices.Concat(Model(o), ModelUpdate(o, old), ModelStatusUpdate(o, old))
	})
	checktest.Survives(t, func(o, old *v1.TightbeamChannel) field.ErrorList {
		return slices.Concat(Channel(o), ChannelUpdate(o, old), ChannelStatusUpdate(o, old))
	})
	checktest.Survives(t, func(o, old *v1.Conversation) field.ErrorList {
		return slices.Concat(Conversation(o), ConversationUpdate(o, old), ConversationStatusUpdate(o, old))
	})
	checktest.Survives(t, func(o, old *v1.Turn) field.ErrorList {
		return slices.Concat(Turn(o), TurnUpdate(o, old), TurnStatusUpdate(o, old))
	})
}
