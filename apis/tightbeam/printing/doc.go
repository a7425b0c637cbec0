// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package printing has the tables of tightbeam.dev/v1 that kubectl get shows.
//
// A column is in the narrow table if one looks for it every day; the rest is
// for -o wide. A narrow table fits 100 characters with names of usual length.
package printing
