// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package modelpod serves tightbeammodels/pods: the controller's word on which
// pods are jobs of a model. It is for the controller alone and its verbs are
// in no default role but the controller's.
//
//	PUT    …/tightbeammodels/NAME/pods/UID   {"modelUID": "…", "job": "…"}
//	DELETE …/tightbeammodels/NAME/pods/UID
//	GET    …/tightbeammodels/NAME/pods       {"items": [{"uid": "…", …}]}
package modelpod
