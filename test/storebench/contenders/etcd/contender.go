// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build contender

// Package etcd pins the etcd server that storebench measures against. It is a
// module of its own to keep the server out of the project's dependencies.
package etcd

import _ "go.etcd.io/etcd/server/v3/etcdmain"
