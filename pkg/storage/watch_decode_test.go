// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package storage

import (
	"testing"

	"k8s.io/apiserver/pkg/features"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	featuregatetesting "k8s.io/component-base/featuregate/testing"
)

func TestAnOperatorsChoiceOfDecodingStands(t *testing.T) {
	// Setting it makes it the operator's.
	featuregatetesting.SetFeatureGateDuringTest(t, utilfeature.DefaultFeatureGate, features.ConcurrentWatchObjectDecode, true)
	decodeInOrder()
	if !utilfeature.DefaultFeatureGate.Enabled(features.ConcurrentWatchObjectDecode) {
		t.Error("what was set was taken back")
	}
}
